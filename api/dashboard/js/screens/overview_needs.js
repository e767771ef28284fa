// What needs somebody: broken links, webhooks that fail, experiments in doubt, invitations that end, jobs that gave up.

import {h, fill, typed} from '../dom.js';
import {card, skeleton} from '../card.js';
import {linkButton} from '../controls.js';
import {ago, now} from '../clock.js';
import {dateTime, plural, relative, words} from '../format.js';
import {badge} from '../shell.js';
import {match, pathOf} from '../url.js';

const SHOWN = 6, SOON_MS = 3 * 86_400_000, DECIDED_MS = 7 * 86_400_000;

/**
 * @typedef {object} Need
 * @property {'bad' | 'warn' | '' | 'info'} kind
 * @property {string} tag
 * @property {any} text
 * @property {any} sub
 * @property {string} href
 * @property {string} action
 */

/** @param {import('../url.js').State} state */
export function needsCard(state) {
  const list = h('ul', {class: 'todo'}, h('li', {}, skeleton('w9', 'w6'))), count = h('span');
  const element = card('Needs you', {class: 'c4', right: count}, list);
  /** @param {any} overview */
  function draw(overview) {
    const all = needs(overview, state.profile);
    badge('webhooks', overview.failing_webhooks.length, 'failing');
    count.textContent = all.length ? String(all.length) : '';
    fill(list, all.slice(0, SHOWN).map(item));
    if (!all.length) fill(list, h('li', {class: 'quiet'}, h('div', {}, 'All quiet', h('small', {}, 'No broken link, no failing webhook, no job that gave up.'))));
    if (all.length > SHOWN) list.append(h('li', {}, h('div', {}, h('small', {}, `and ${all.length - SHOWN} more`))));
  }
  return {element, draw};
}

/** @param {Need} need */
const item = need => h('li', {}, h('span', {class: `tag ${need.kind}`}, need.tag), h('div', {}, need.text, h('small', {}, need.sub)), match(need.href) && linkButton(need.action, {href: need.href, class: 'small'}));

/** @param {any} overview @param {any} profile @returns {Need[]} */
function needs(overview, profile) {
  const {experiment, results} = overview.experiment ?? {};
  return [
    ...overview.broken_links.map((/** @type {any} */ link) => ({kind: 'bad', tag: 'broken', text: [typed(link.title || link.slug), ` ${link.health.status ? `answers ${link.health.status}` : 'does not answer'}`], sub: ['since ', ago(link.health.since, dateTime(link.health.since))], href: pathOf(profile, 'links', link.id), action: 'Fix'})),
    ...(results?.allocation?.mismatch ? [{kind: /** @type {'bad'} */ ('bad'), tag: 'mismatch', text: typed(experiment.name), sub: 'Visitors are not shared out as planned', href: pathOf(profile, 'experiments', experiment.id), action: 'See'}] : []),
    ...overview.failing_webhooks.map((/** @type {any} */ hook) => ({kind: 'bad', tag: hook.disabled_reason ? 'disabled' : 'fails', text: typed(new URL(hook.url).host), sub: hook.disabled_reason || ['takes nothing since ', ago(hook.failing_since, dateTime(hook.failing_since))], href: pathOf(profile, 'webhooks', hook.id), action: 'See'})),
    ...overview.invitations.filter((/** @type {any} */ each) => Date.parse(each.expires_at) - now() < SOON_MS).map((/** @type {any} */ each) => ({kind: '', tag: 'invited', text: [typed(each.email), ' has not joined'], sub: `the invitation ends ${relative(each.expires_at, now())}`, href: pathOf(profile, 'team'), action: 'See'})),
    ...overview.decided_experiments.filter((/** @type {any} */ each) => now() - Date.parse(each.ended_at) < DECIDED_MS).map((/** @type {any} */ each) => ({kind: 'info', tag: 'decided', text: typed(each.name), sub: ['an experiment, ', ago(each.ended_at, dateTime(each.ended_at))], href: pathOf(profile, 'experiments', each.id), action: 'See'})),
    ...overview.dead_jobs.map((/** @type {any} */ job) => ({kind: 'warn', tag: 'gave up', text: words(job.kind), sub: `after ${plural(job.failures, 'attempt')}`, href: `/jobs/${job.id}`, action: 'See'})),
  ];
}

