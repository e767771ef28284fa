// Conversions: what followed clicks, in orders and money, by link, source, country and campaign. Everything filters everything.

import {h, fill, whenFree} from '../dom.js';
import {ask, get, poll} from '../api.js';
import {asOf, card, empty, problemView, skeleton, top} from '../card.js';
import {lineChart} from '../chart.js';
import {button, segments} from '../controls.js';
import {clock, number, value} from '../format.js';
import {filterChips, intervalOf, periodChoice, periodWords, questionOf} from '../period.js';
import {now} from '../clock.js';
import {change} from '../url.js';
import {lineOf} from './overview_figures.js';
import {currenciesOf, figuresOf, metricsOf, withAmounts} from './conversions_figures.js';
import {groupTable, latestTable} from './conversions_tables.js';

const EVERY_MS = 30_000, ROWS = 8, LATEST = 10;
const METRICS = ['conversions', 'revenue', 'conversion_rate', 'clicks'];
const GROUPS = /** @type {[string, string, string][]} */ ([['link', 'Links', 'Link'], ['source', 'Sources', 'Source'], ['country', 'Countries', 'Country'], ['utm_campaign', 'Campaigns', 'Campaign']]);

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const place = () => h('div', {}, skeleton('w9', 'w8', 'w9')), chips = h('div', {}), badge = h('span', {role: 'status'}), controls = h('span', {class: 'choice'}), main = h('div', {}, skeleton('big', 'w9', 'w9', 'w8', 'w9'));
  const places = /** @type {Record<string, HTMLElement>} */ (Object.fromEntries(GROUPS.map(([name]) => [name, place()]))), latest = place(), foot = h('p', {class: 'foot'});
  root.append(top('Conversions', badge, controls), chips, h('div', {class: 'grid'}, h('section', {class: 'card c12', 'aria-label': 'Figures of the period'}, main),
    GROUPS.map(([name, title]) => card(title, {class: 'c6'}, places[name])), card('The newest', {class: 'c12'}, latest)), foot);
  view = {state, root, places, latest, chips, badge, controls, main, foot, data: null, chart: null, twin: false, names: new Map()};
  drawControls();
  view.polling = poll(read, EVERY_MS, data => whenFree(() => draw(data)), problem => {
    if (!view.data) fill(view.main, problemView(problem, () => view.polling.now()));
    else fill(view.badge, asOf(`not reached since ${clock(view.data.as_of)}`, 'warn'));
  });
}

/** @param {import('../url.js').State} state */
export function update(state) {
  const before = JSON.stringify(questionsOf(view.state.query));
  view.state = state;
  drawControls();
  if (JSON.stringify(questionsOf(state.query)) === before && view.data) draw(view.data);
  else view.polling.now();
}

export function leave() { view?.polling.stop(); }

/** @param {URLSearchParams} query */
const questionsOf = query => [
  {...questionOf(query), group: 'time', interval: intervalOf(query), metrics: METRICS, compare: 'previous'},
  ...GROUPS.map(([group]) => ({...questionOf(query), group, metrics: METRICS, order: '-conversions', limit: ROWS})),
];

async function read() {
  const {profile, query} = view.state, path = `/v1/profiles/${profile.id}`;
  const [batch, latest] = await Promise.all([ask(`${path}/stats/batch`, {questions: questionsOf(query)}), get(`${path}/conversions?limit=${LATEST}`)]);
  return {...batch, latest: latest.items};
}

/** The words for a value of a dimension; links are known by the answers. @param {string} dimension @param {any} one */
const nameOf = (dimension, one) => (dimension === 'link' && view.names.get(one)) || value(dimension, one);

function drawControls() {
  const {query} = view.state;
  fill(view.controls, periodChoice(query));
  fill(view.chips, filterChips(query, nameOf));
}

/** @param {any} data */
function draw(data) {
  const {query, profile} = view.state, [time, ...groups] = data.answers;
  for (const row of groups[0].rows) view.names.set(row.link, row.title || row.slug);
  Object.assign(view, {data});
  fill(view.badge, asOf(`Counted to ${clock(data.as_of)}`));
  drawControls();
  const currencies = currenciesOf(time), currency = currencies.includes(query.get('currency')) ? query.get('currency') : currencies[0] ?? null;
  const metrics = metricsOf(currency), metric = metrics.find(each => each.name === query.get('metric')) ?? metrics[0];
  const answer = withAmounts(time, currency), line = lineOf(answer, metric, now(), (from, to) => change({period: null, from: from.time.slice(0, 10), to: new Date(Date.parse(to.time) + 86_400_000).toISOString().slice(0, 10)}));
  const none = !time.totals.conversions && !data.latest.length;
  if (none) { view.chart = null; fill(view.main, first(profile)); } else {
    if (!view.chart) view.chart = lineChart({...line, height: 210});
    else view.chart.show({...line, height: 210});
    view.chart.twin(view.twin);
    fill(view.main, figuresOf(answer, metrics, metric.name),
      h('div', {class: 'legend'}, h('span', {}, h('i', {}), periodWords(time)), h('span', {}, h('i', {class: 'p'}), 'the period before'), h('span', {class: 'push'}, currencies.length > 1 ? segments('Currency', currencies.map(each => [each, each]), /** @type {string} */ (currency), each => change({currency: each})) : null, twinButton())), h('div', {class: 'body'}, view.chart));
  }
  GROUPS.forEach(([name, , title], i) => fill(view.places[name], groups[i].rows.some((/** @type {any} */ row) => row.conversions) ? groupTable(name, title, groups[i], currency, nameOf, query) : empty('None in this period.')));
  fill(view.latest, data.latest.length ? latestTable(data.latest, nameOf, profile) : empty('No conversion yet.'));
  view.foot.textContent = `A conversion counts at its own time, by the click that it follows, within ${number(time.attribution_days)} days of it. Revenue is what orders were worth, less refunds at their time; currencies are not converted.`;
}

function twinButton() {
  const act = button('Table', {class: 'small', 'aria-pressed': String(view.twin), onclick: () => { view.twin = !view.twin; act.setAttribute('aria-pressed', String(view.twin)); view.chart.twin(view.twin); }});
  return act;
}

/** What makes the first conversion. @param {any} profile */
const first = profile => h('div', {class: 'firstc'}, h('h2', {}, 'No conversions yet'), h('p', {}, 'A link with a click id passes it on to its target; your shop, your server or a script of 0.9 kB sends it back with the order.'),
  h('pre', {class: 'code', tabindex: 0, role: 'group', 'aria-label': 'A conversion by the API'}, `curl ${location.origin}/v1/conversions -H "Authorization: Bearer $KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '{"click_id": "…", "name": "sale", "order_id": "1001", "value": "49.90", "currency": "EUR"}'`),
  h('p', {class: 'rowb'}, h('a', {class: 'btn main', href: `/p/${encodeURIComponent(profile.handle)}/links`}, 'Give a link a click id'), h('a', {class: 'btn', href: '/docs'}, 'How shops report')));
