// The chain of the log, recomputed here: each hash is made of the one before it and of the text of its entry.

import {h, fill} from '../dom.js';
import {lines} from '../api.js';
import {problemView} from '../card.js';
import {button} from '../controls.js';
import {dateTime, number} from '../format.js';
import {say} from '../toast.js';
import {now} from '../clock.js';

const SAY_EVERY = 500;

/**
 * @typedef {{id: string, hash: string, at: number}} Seen the newest entry when this browser last verified the chain; `at` in ms
 * @typedef {{entries: number, newest: Seen | null, broken: string}} Result `broken`: the first entry that is not as it was written, in a sentence
 */

/**
 * Verify a log, newest entry first. What this browser has seen of it may not have changed since, though all hashes be made anew.
 * @param {AsyncIterable<any>} log @param {Seen | null} seen @param {(entries: number) => void} progress @returns {Promise<Result>}
 */
export async function verify(log, seen, progress) {
  /** @type {any} */
  let later = null;
  let entries = 0, broken = '', newest = null;
  const fault = (/** @type {string | number} */ id, /** @type {string} */ words) => { broken = `Entry ${id} ${words}`; };
  for await (const entry of log) {
    if (later) await check(later, entry, fault);
    else if (seen && BigInt(entry.id) < BigInt(seen.id)) fault(seen.id, `is missing: this browser saw it on ${dateTime(seen.at)}.`);
    if (seen && entry.id === seen.id && entry.hash !== seen.hash) fault(entry.id, `is another one than this browser saw on ${dateTime(seen.at)}.`);
    newest ??= {id: entry.id, hash: entry.hash, at: now()};
    later = entry;
    if (++entries % SAY_EVERY === 0) progress(entries);
  }
  if (later) await check(later, null, fault);
  else if (seen) fault(seen.id, `is missing: this browser saw it on ${dateTime(seen.at)}.`);
  return {entries, newest, broken};
}

/**
 * Check an entry with the one before it in the log, null for none. Older faults are found later, and so the first is told.
 * @param {any} entry @param {any} before @param {(id: string | number, words: string) => void} fault
 */
async function check(entry, before, fault) {
  const place = Number(entry.id);
  if (Number(before?.id ?? 0) !== place - 1) fault(Number(before?.id ?? 0) + 1, 'is missing.');
  else if (await hashOf(before?.hash ?? '', entry.hashed) !== entry.hash) fault(entry.id, 'is not as it was written.');
  else if (!shows(entry)) fault(entry.id, 'shows something else than what its hash covers.');
}

/** @param {string} before hexadecimal digits @param {string} hashed */
async function hashOf(before, hashed) {
  const text = new TextEncoder().encode(hashed), bytes = new Uint8Array(before.length / 2 + text.length);
  bytes.set((before.match(/../g) ?? []).map(digits => parseInt(digits, 16)));
  bytes.set(text, before.length / 2);
  return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map(byte => byte.toString(16).padStart(2, '0')).join('');
}

/** Return whether an entry's fields say what its hashed text says. @param {any} entry */
function shows(entry) {
  const [, id, at, user, key, ...rest] = JSON.parse(entry.hashed);
  const fields = [entry.request_id, entry.action, entry.object_type, entry.object_id, entry.before, entry.after];
  return String(id) === entry.id && Math.floor(at / 1000) === Date.parse(entry.at) && user === (entry.user?.id ?? null) && key === entry.key_id && JSON.stringify(rest) === JSON.stringify(fields);
}

/** @param {string} profileId */
const placeOf = profileId => `chain-${profileId}`;

/** @param {string} profileId @returns {Seen | null} */
function seenOf(profileId) {
  try {
    return JSON.parse(localStorage.getItem(placeOf(profileId)) ?? 'null');
  } catch {
    return null; // storage is switched off, or holds something else
  }
}

/** @param {string} profileId @param {Seen} newest */
function keep(profileId, newest) {
  try {
    localStorage.setItem(placeOf(profileId), JSON.stringify(newest));
  } catch {
    // Storage is switched off: the next time compares with nothing.
  }
}

/** The button that verifies, and the place where it says what it found. @param {any} profile */
export function chainTools(profile) {
  const place = h('div', {class: 'chain', role: 'status'}), press = button('Verify the chain', {icon: 'shield-check', onclick: run});
  async function run() {
    if (!globalThis.crypto?.subtle) return fill(place, h('p', {}, 'Browsers compute hashes on pages over HTTPS only. Open the console by its HTTPS address.'));
    const seen = seenOf(profile.id);
    press.disabled = true;
    fill(place, h('p', {class: 'note'}, 'Reading the log…'));
    try {
      const result = await verify(lines(`/v1/profiles/${profile.id}/activity/export?format=ndjson`), seen, entries => fill(place, h('p', {class: 'note'}, `${number(entries)} entries read…`)));
      if (!result.broken && result.newest) keep(profile.id, result.newest);
      fill(place, verdict(result, seen));
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      fill(place, problemView(problem, run));
    }
    press.disabled = false;
  }
  return {press, place};
}

/** @param {Result} result @param {Seen | null} seen */
function verdict({entries, newest, broken}, seen) {
  if (broken) {
    say(broken);
    return h('p', {class: 'bad'}, h('strong', {}, broken), ' It is the first one of the log that is not right. Keep this page and an export, and tell whoever runs this server.');
  }
  if (!newest) return h('p', {class: 'note'}, 'The log has no entries yet.');
  const all = entries === 1 ? 'The only entry is as it was written.' : `All ${number(entries)} entries are as they were written.`;
  return [h('p', {}, h('strong', {}, all), ' ', seen ? `Nothing up to entry ${seen.id} has changed since this browser verified it on ${dateTime(seen.at)}.` : 'This browser keeps the last hash, and compares the log with it the next time.'),
    h('p', {class: 'note'}, `Hash of entry ${newest.id}: `, h('span', {class: 'mono'}, newest.hash))];
}
