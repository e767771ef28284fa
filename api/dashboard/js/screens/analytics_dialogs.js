// Dialogs of the analytics screen: a filter, a period, what to take away, kept questions and notes.

import {h, fill, typed} from '../dom.js';
import {all, change as send, get} from '../api.js';
import {button, linkButton} from '../controls.js';
import {confirm, dialog} from '../dialog.js';
import {field, form} from '../form.js';
import {city, shortDay, value, zone} from '../format.js';
import {intervalOf, questionOf, titleOf} from '../period.js';
import {copy, tellProblem, toast} from '../toast.js';
import {change, go, href} from '../url.js';
import {CARDS, metricOf, searchOf} from './analytics_questions.js';

const SEARCHABLE = ['region', 'city', 'browser', 'os', 'referrer', 'source', 'utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content', 'domain'];
const DIMENSIONS = [...CARDS.flatMap(card => card.tabs.map(([dimension]) => dimension)).filter(each => each !== 'event'), 'utm_source', 'utm_content', 'kind'];
const SIGNS = /** @type {[string, string][]} */ ([['', 'is'], ['!', 'is not'], ['~', 'contains']]);

/** @param {string} name @param {[string, string][]} items @param {any} [attributes] */
const select = (name, items, attributes = {}) => h('select', {name, ...attributes}, items.map(([one, words]) => h('option', {value: one}, words)));

/** Ask for one more filter; values that are known are offered. @param {import('../url.js').State} state */
export function filterDialog({profile, query}) {
  const list = h('datalist', {id: 'known-values'}), input = h('input', {name: 'value', list: 'known-values', autocomplete: 'off', dir: 'auto', maxlength: 255});
  const dimension = select('dimension', DIMENSIONS.map(each => [each, titleOf(each)]), {onchange: () => offer()});
  const sign = select('sign', SIGNS);
  async function offer() {
    const name = dimension.value;
    sign.options[2].disabled = !SEARCHABLE.includes(name);
    if (sign.options[2].disabled && sign.value === '~') sign.value = '';
    try {
      const answer = await get(`/v1/profiles/${profile.id}/stats?${searchOf({...plain(query), group: name, metrics: 'clicks', limit: 50})}`);
      if (dimension.value === name) fill(list, answer.rows.map((/** @type {any} */ row) => row[name] && h('option', {value: row[name]}, name === 'link' ? row.title || row.slug || 'The page' : value(name, row[name]))));
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      fill(list);
    }
  }
  const box = dialog('Add a filter', form([field('What', dimension), field('How', sign), field('Value', input, {help: 'Empty: where it is not known.'})], {
    action: 'Filter',
    async send(values) {
      const name = `filter[${values.dimension}]${values.sign}`, given = values.value.trim().replaceAll(/,(?! )/g, '\\,'), text = values.dimension === 'country' ? given.toUpperCase() : given;
      await get(`/v1/profiles/${profile.id}/stats?${searchOf({...plain(query), metrics: 'clicks', group: 'trigger'})}&${new URLSearchParams({[`filter[${values.dimension}]${/** @type {any} */ ({'': '', '!': '[not]', '~': '[contains]'})[values.sign]}`]: text})}`);
      box.close();
      const url = href({[name]: null});
      await go(`${url}${url.includes('?') ? '&' : '?'}${name}=${encodeURIComponent(text)}`);
    },
    sayProblem: problem => (problem.errors?.length ? {title: 'This cannot be filtered', detail: problem.errors.map((/** @type {any} */ error) => `${error.field.replace(/^filter\[(\w+)\].*/, (/** @type {string} */ _, /** @type {string} */ name) => titleOf(name))} ${error.reason}`).join('; ')} : null),
  }));
  offer();
}

/** The period alone. @param {URLSearchParams} query */
const plain = query => Object.fromEntries(Object.entries(questionOf(query)).filter(([name]) => !name.startsWith('filter[')));

/** Ask for two days and a zone. @param {any} profile @param {URLSearchParams} query @param {any} answer what is shown, or null */
export function periodDialog(profile, query, answer) {
  const local = (/** @type {string} */ time) => time.slice(0, 10), last = answer ? local(new Date(Date.parse(answer.to) - 60_000 - zoneMs(answer)).toISOString()) : '';
  const from = h('input', {type: 'date', name: 'from', required: true, value: answer ? local(answer.from) : ''});
  const to = h('input', {type: 'date', name: 'to', required: true, value: last});
  const zones = /** @type {any} */ (Intl).supportedValuesOf?.('timeZone') ?? [];
  const tz = h('input', {name: 'tz', list: 'known-zones', value: query.get('tz') ?? zone(), required: true, autocomplete: 'off'});
  const box = dialog('Period', form([field('From', from), field('To, the last day', to), field('Zone', tz, {help: `Yours is ${city(zone())}.`}), h('datalist', {id: 'known-zones'}, zones.map((/** @type {string} */ one) => h('option', {value: one})))], {
    action: 'Show',
    async send(values) {
      const end = new Date(`${values.to}T00:00:00Z`);
      end.setUTCDate(end.getUTCDate() + 1);
      const changes = {from: values.from, to: end.toISOString().slice(0, 10), period: null, tz: values.tz === zone() ? null : values.tz, interval: null};
      await get(`/v1/profiles/${profile.id}/stats?${searchOf({from: changes.from, to: changes.to, tz: values.tz, group: 'trigger', metrics: 'clicks'})}`);
      box.close();
      await change(changes);
    },
  }));
}

/** How far the zone of an answer is ahead of UTC, in ms with its sign turned: to read a local date. @param {any} answer */
const zoneMs = answer => {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)$/.exec(answer.to) ?? [null, '+', '0', '0'];
  return -(Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === '-' ? -1 : 1);
};

/** Files of what is shown, and the call for a program. @param {import('../url.js').State} state */
export function takeDialog({profile, query}) {
  const base = questionOf(query), path = `/v1/profiles/${profile.id}/stats`;
  const file = (/** @type {string} */ text, /** @type {Record<string, any>} */ question) => h('li', {}, h('span', {}, text), h('span', {class: 'r'},
    linkButton('CSV', {class: 'small', icon: 'download', download: '', href: `${path}/export?${searchOf({...question, format: 'csv', excel: 1})}`}), ' ',
    linkButton('JSON lines', {class: 'small', download: '', href: `${path}/export?${searchOf({...question, format: 'ndjson'})}`})));
  const command = curlOf(profile, query);
  dialog('Take it with you', [
    h('p', {class: 'note'}, 'With the period and the filters of this screen.'),
    h('ul', {class: 'files'},
      file('The chart', {...base, interval: intervalOf(query)}),
      CARDS.flatMap(card => card.tabs).map(([dimension, words]) => file(words, {...base, group: dimension, limit: 1000}))),
    h('h3', {}, 'From a program'), h('pre', {class: 'url', tabindex: 0}, command),
  ], {foot: [button('Copy as curl', {icon: 'copy', class: 'main', onclick: () => copy(command, 'Command copied')})]});
}

/** The question of the chart as a command. @param {any} profile @param {URLSearchParams} query */
export const curlOf = (profile, query) => `curl -H "Authorization: Bearer $WAYPOST_API_KEY" \\\n  '${location.origin}/v1/profiles/${profile.id}/stats?${decoded(searchOf({...questionOf(query), interval: intervalOf(query), metrics: metricOf(query).name}).toString())}'`;

/** @param {string} text */
const decoded = text => text.replaceAll('%5B', '[').replaceAll('%5D', ']').replaceAll('%2F', '/').replaceAll("'", '%27');

/** Questions that somebody kept: choose one, keep this one. @param {import('../url.js').State} state */
export async function keptDialog({profile, query, role}) {
  const path = `/v1/profiles/${profile.id}/saved-questions`, list = h('ul', {class: 'files'});
  const draw = async () => {
    const kept = await all(path, 100);
    fill(list, kept.map(one => h('li', {}, h('a', {href: `${location.pathname}?${one.query}`, onclick: () => box.close()}, typed(one.name)), role !== 'viewer' && h('span', {class: 'r'}, button('Delete', {class: 'small', onclick: () => remove(one)})))), !kept.length && h('li', {class: 'note'}, 'None is kept yet.'));
  };
  const remove = async (/** @type {any} */ one) => {
    try {
      await send('DELETE', `${path}/${one.id}`, undefined, {version: one.version});
      await draw();
    } catch (problem) { tellProblem(problem); }
  };
  const name = h('input', {name: 'name', required: true, maxlength: 100, dir: 'auto', autocomplete: 'off'});
  const keep = role === 'viewer' ? null : form([field('Keep what is shown, as', name, {max: 100})], {
    action: 'Keep',
    async send(values) {
      await send('POST', path, {name: values.name, query: searchOf({...questionOf(query), ...(query.get('interval') ? {interval: query.get('interval')} : {})}).toString()});
      box.close();
      toast(`Kept as “${values.name}”`);
    },
  });
  const box = dialog('Kept views', [list, keep]);
  await draw().catch(problem => { box.close(); tellProblem(problem); });
}

/**
 * Write a note beside a day, or change one. @param {import('../url.js').State} state @param {any} note null: a new one @param {() => void} done
 */
export function noteDialog({profile}, note, done) {
  const path = `/v1/profiles/${profile.id}/annotations`;
  const at = h('input', {type: 'date', name: 'at', required: true, value: note ? note.at.slice(0, 10) : new Date().toISOString().slice(0, 10)});
  const text = h('input', {name: 'text', required: true, maxlength: 200, dir: 'auto', autocomplete: 'off', value: note?.text ?? ''});
  const box = dialog(note ? `Note of ${shortDay(note.at)}` : 'Add a note', form([field('Day', at), field('What happened', text, {max: 200, help: 'Everybody of the team sees it in the chart.'})], {
    action: 'Keep',
    async send(values) {
      await send(note ? 'PATCH' : 'POST', note ? `${path}/${note.id}` : path, note && note.at.slice(0, 10) === values.at ? {text: values.text} : values);
      box.close();
      done();
    },
    foot: note && button('Delete', {class: 'danger', onclick: async () => {
      if (!(await confirm('Delete the note?', note.text, 'Delete'))) return;
      try {
        await send('DELETE', `${path}/${note.id}`);
        box.close();
        done();
      } catch (problem) { tellProblem(problem); }
    }}),
  }));
}
