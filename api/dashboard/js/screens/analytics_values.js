// The drawer with all values of one dimension: found, sorted, chosen as a filter, taken as a file.

import {h, icon} from '../dom.js';
import {get} from '../api.js';
import {problemView, skeleton} from '../card.js';
import {button, linkButton} from '../controls.js';
import {drawer} from '../dialog.js';
import {number, plural, signed} from '../format.js';
import {isChosen, periodWords} from '../period.js';
import {table} from '../table.js';
import {say} from '../toast.js';
import {change, go, href} from '../url.js';
import {groupQuestion, metricOf, PLURALS, searchOf, shown, words} from './analytics_questions.js';

const MOST = 1000;

/** @param {import('../url.js').State} state @param {string} dimension */
export function valuesDrawer({profile, query}, dimension) {
  const metric = dimension === 'event' ? {name: 'events', title: 'Events', unit: 'events'} : metricOf(query);
  const place = h('div', {}, skeleton('w9', 'w8', 'w9', 'w7', 'w8')), foot = h('div', {class: 'rowb'}), chosen = new Set();
  const question = {...groupQuestion(query, dimension, MOST), ...(dimension === 'event' ? {} : {metrics: metric.name === 'clicks' ? 'clicks,visitors' : `clicks,${metric.name}`})};
  const box = drawer(`All ${PLURALS[dimension].toLowerCase()}`, place, {foot, closed: () => { if (new URLSearchParams(location.search).get('all') === dimension) change({all: null}, {replace: true}); }});

  const actions = () => foot.replaceChildren(
    ...(chosen.size ? [button(`Filter by ${chosen.size === 1 ? 'it' : `these ${number(chosen.size)}`}`, {class: 'main', onclick: filter})] : []),
    linkButton('CSV, these filters', {icon: 'download', download: '', href: `/v1/profiles/${profile.id}/stats/export?${searchOf({...question, compare: undefined, format: 'csv', excel: 1})}`.replace('&compare=undefined', '')}));
  function filter() {
    const values = [...chosen].map(one => one.replaceAll(/,(?! )/g, '\\,')).join(',');
    const next = href({[`filter[${dimension}]`]: values || null, all: null});
    box.close();
    return go(values ? next : `${next}${next.includes('?') ? '&' : '?'}filter[${dimension}]=`);
  }

  /** @param {any} answer */
  function draw(answer) {
    const sub = box.querySelector('header p') ?? box.querySelector('header div')?.appendChild(h('p', {}));
    if (sub) sub.textContent = periodWords(answer);
    const rows = answer.rows.map((/** @type {any} */ row, /** @type {number} */ i) => {
      const was = answer.previous?.rows[i]?.[metric.name];
      return {...words(dimension, row), one: row[dimension] ?? '', row, change: was ? ((row[metric.name] ?? 0) / was - 1) * 100 : null};
    });
    for (const row of rows) if (isChosen(query, dimension, row.row[dimension])) chosen.add(row.one);
    const count = h('p', {class: 'note', role: 'status'});
    const list = table({caption: box.querySelector('h2')?.textContent ?? '', rows, sort: 'value', columns: [
      {name: 'text', title: 'Name', sort: row => row.text, show: row => h('label', {class: 'pick'}, dimension !== 'event' && h('input', {type: 'checkbox', checked: chosen.has(row.one), onchange: (/** @type {any} */ event) => { chosen[event.target.checked ? 'add' : 'delete'](row.one); actions(); }}), h('bdi', {}, row.text), row.sub && h('small', {}, ` ${row.sub}`))},
      {name: 'value', title: metric.title, number: true, sort: row => row.row[metric.name], show: row => shown(metric, row.row[metric.name])},
      ...(metric.name === 'clicks' ? [{name: 'visitors', title: 'Visitors', number: true, class: 'opt', sort: (/** @type {any} */ row) => row.row.visitors, show: (/** @type {any} */ row) => number(row.row.visitors)}] : []),
      {name: 'change', title: 'Change', number: true, sort: row => row.change, show: row => (row.change == null ? '–' : h('span', {class: `delta ${Math.abs(row.change) < 20 ? 'flat' : row.change > 0 ? 'up' : 'down'}`}, `${signed(row.change, 0)} %`))},
    ]});
    const told = (/** @type {number} */ n) => `${n === rows.length ? '' : `${number(n)} of `}${plural(rows.length, 'value')}${answer.next_cursor ? ', the first of more' : ''}`;
    const find = h('input', {type: 'search', placeholder: 'Find', 'aria-label': 'Find a value', autofocus: true, oninput: () => {
      const text = find.value.trim().toLowerCase(), hits = rows.filter((/** @type {any} */ row) => `${row.text} ${row.sub ?? ''}`.toLowerCase().includes(text));
      list.rows(hits);
      count.textContent = told(hits.length);
    }});
    count.textContent = told(rows.length);
    place.replaceChildren(h('div', {class: 'searchbox'}, icon('search'), find), count, list);
    find.focus();
    say(told(rows.length));
  }

  const load = async () => {
    try {
      draw(await get(`/v1/profiles/${profile.id}/stats?${searchOf(question)}`));
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      place.replaceChildren(problemView(problem, load));
    }
  };
  actions();
  load();
  return box;
}
