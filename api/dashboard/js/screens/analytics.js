// Analytics: every figure of a period, where everything filters everything. The screen's URL is its question.

import {h, fill, whenFree} from '../dom.js';
import {ask, poll} from '../api.js';
import {asOf, card, empty, problemView, skeleton, top} from '../card.js';
import {button, segments} from '../controls.js';
import {letter, lineChart} from '../chart.js';
import {barList} from '../figures.js';
import {clock, number, shortDay, value} from '../format.js';
import {onKey} from '../keys.js';
import {filterChips, filtersOf, intervalOf, PERIODS, periodChoice, periodWords} from '../period.js';
import {change, href} from '../url.js';
import {now} from '../clock.js';
import {figures, lineOf, METRICS} from './overview_figures.js';
import {barsOf, CARDS, metricOf, PLURALS, questions, shownOf, tabsWith} from './analytics_questions.js';
import {filterDialog, keptDialog, noteDialog, periodDialog, takeDialog} from './analytics_dialogs.js';
import {shareDialog} from './analytics_share.js';
import {daysTable, heat, hoursTable} from './analytics_time.js';
import {valuesDrawer} from './analytics_values.js';

const EVERY_MS = 15_000;
const STEPS = /** @type {[string, string][]} */ ([['hour', 'Hour'], ['day', 'Day'], ['week', 'Week'], ['month', 'Month']]);

/** @type {(() => void)[]} */
let ends = [];
/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  view = build(root, state);
  view.polling = poll(asked, EVERY_MS, data => whenFree(() => drawNew(data)), failed);
  ends = [
    () => view.polling.stop(),
    ...METRICS.map(({name, title}, i) => onKey(String(i + 1), title, () => change({metric: i ? name : null}))),
    onKey('[', 'Longer period', () => stepPeriod(1)), onKey(']', 'Shorter period', () => stepPeriod(-1)),
    onKey('f', 'Add a filter', () => filterDialog(view.state)), onKey('x', 'Clear filters', clearFilters), onKey('r', 'Count again', () => view.polling.now()),
  ];
  openDrawer(state);
}

/** @param {import('../url.js').State} state */
export function update(state) {
  const before = JSON.stringify(questions(view.state.query));
  view.state = state;
  whenFree(() => drawControls());
  openDrawer(state);
  if (JSON.stringify(questions(state.query)) === before && view.data) return draw(view.data);
  view.refused = new Map();
  view.grid.classList.add('stale');
  return view.polling.now();
}

export function leave() {
  for (const end of ends) end();
  ends = [];
  view?.drawer?.close();
}

/** @param {import('../url.js').State} state */
function openDrawer(state) {
  const dimension = state.query.get('all');
  if (dimension && PLURALS[dimension] && !view.drawer?.open) view.drawer = valuesDrawer(state, dimension);
}

/** @param {number} step */
function stepPeriod(step) {
  const at = PERIODS.findIndex(([name]) => name === (view.state.query.get('period') ?? '30d')) + step;
  if (PERIODS[at]) change({period: PERIODS[at][0], from: null, to: null, interval: null});
}

const clearFilters = () => change(Object.fromEntries(filtersOf(view.state.query).map(({name}) => [name, null])));

/** Ask all questions at once; those that the server refuses are left out, and their cards say why. */
async function asked() {
  const {profile, query} = view.state, named = questions(query).filter(([name]) => !view.refused.has(name));
  try {
    const data = await ask(`/v1/profiles/${profile.id}/stats/batch`, {questions: named.map(([, question]) => question), annotations: true});
    view.names = named.map(([name]) => name);
    return data;
  } catch (problem) {
    const {errors, status} = /** @type {any} */ (problem), refused = new Map();
    for (const error of status === 422 ? errors ?? [] : []) {
      const at = /^questions\[(\d+)\]\.?(.*)$/.exec(error.field);
      if (at && named[Number(at[1])][0] !== 'total') refused.set(named[Number(at[1])][0], {...error, field: at[2]});
    }
    if (!refused.size) throw problem;
    for (const [name, error] of refused) view.refused.set(name, error);
    return asked();
  }
}

/** @param {HTMLElement} root @param {import('../url.js').State} state */
function build(root, state) {
  const place = () => h('div', {class: 'fillin'}, skeleton('w9', 'w8', 'w7', 'w8', 'w6'));
  const places = /** @type {Record<string, any>} */ ({...Object.fromEntries(CARDS.map(each => [each.name, place()])), hours: place(), days: place(), kept: place()});
  const badge = h('span', {role: 'status'}), controls = h('span', {class: 'choice'}), chips = h('div', {}), main = h('div', {}, skeleton('big', 'w9', 'w9', 'w8', 'w9', 'w7', 'w9', 'w8'));
  const rights = Object.fromEntries(Object.keys(places).map(name => [name, h('span', {})])), foot = h('p', {class: 'foot'});
  const cardOf = (/** @type {any} */ each, /** @type {string} */ more) => card(each.title, {class: more, right: rights[each.name]}, h('div', {class: 'strip'}), places[each.name]);
  const heatCard = card('When they come', {class: 'c7', right: [rights.hours, ' ', segments('Show as', [['chart', 'Chart'], ['table', 'Table']], 'chart', name => { view.heatAs = name; if (view.data) draw(view.data); })]}, places.hours);
  const grid = h('div', {class: 'grid'}, h('section', {class: 'card c12', 'aria-label': 'Figures of the period'}, main),
    CARDS.slice(0, 3).map(each => cardOf(each, 'c4')), heatCard, card('Devices, day by day', {class: 'c5 full days'}, places.days),
    CARDS.slice(3).map(each => cardOf(each, 'c4')), card('What was kept out', {class: 'c4', right: rights.kept}, places.kept));
  root.append(top('Analytics', badge, controls), chips, grid, foot);
  view = {root, state, places, rights, badge, controls, chips, main, grid, foot, data: null, chart: null, polling: null, refused: new Map(), names: [], heatAs: 'chart', asTable: false, drawer: null};
  drawControls();
  return view;
}

function drawControls() {
  const {state} = view, {query, profile, role} = state;
  fill(view.controls, periodChoice(query));
  fill(view.chips, filterChips(query, nameOf,
    button('Filter', {icon: 'plus', class: 'chip add', 'aria-haspopup': 'dialog', onclick: () => filterDialog(state)}),
    filtersOf(query).length ? button('Clear', {class: 'small', onclick: clearFilters}) : null,
    h('span', {class: 'push'},
      button(view.data ? periodWords(view.data.answers[0]) : 'Period', {class: 'small', icon: 'calendar', 'aria-haspopup': 'dialog', onclick: () => periodDialog(profile, query, view.data?.answers[0] ?? null)}),
      button('Kept views', {class: 'small', icon: 'bookmark', 'aria-haspopup': 'dialog', onclick: () => keptDialog(state)}),
      button('Export', {class: 'small', icon: 'download', 'aria-haspopup': 'dialog', onclick: () => takeDialog(state)}),
      (role === 'owner' || role === 'admin') && button('Share', {class: 'small', icon: 'share-2', 'aria-haspopup': 'dialog', onclick: () => shareDialog(profile)}))));
  for (const each of CARDS) drawTabs(each);
}

/** @param {any} each a card */
function drawTabs(each) {
  const {query} = view.state, strip = view.places[each.name].previousElementSibling, shown = shownOf(query, each);
  fill(strip, h('div', {class: 'tabs', role: 'group', 'aria-label': each.title}, each.tabs.map((/** @type {[string, string]} */ [dimension, words]) => h('a', {href: () => href({tab: tabsWith(view.state.query, each, dimension)}), 'aria-current': dimension === shown ? 'true' : null}, words))));
}

/** @param {any} data */
function drawNew(data) {
  if (data !== view.data || view.grid.classList.contains('stale')) draw(data);
}

/** @param {any} data */
function draw(data) {
  const {query} = view.state, metric = metricOf(query);
  const answers = Object.fromEntries(view.names.map((/** @type {string} */ name, /** @type {number} */ i) => [name, data.answers[i]]));
  view.data = data;
  view.grid.classList.remove('stale');
  fill(view.badge, data.as_of ? asOf(`Counted to ${Math.abs(now() - Date.parse(data.as_of)) < 20 * 3600 * 1000 ? clock(data.as_of) : shortDay(data.as_of)}`) : asOf('Nothing counted yet'));
  drawControls();
  drawFigures(answers.total, data, metric);
  for (const each of CARDS) drawCard(each, answers[each.name], metric);
  drawHours(answers.hours);
  put('days', answers.days, answer => (answer.rows.length ? daysTable(answer, countedOf(answer), now()) : nothing()));
  put('kept', answers.kept, answer => {
    fill(view.rights.kept, `${number(answer.totals.bots)} left out`);
    const rows = answer.rows.filter((/** @type {any} */ row) => row.bots);
    return rows.length ? barList(rows.map((/** @type {any} */ row) => ({text: value('kind', row.kind), value: row.bots, href: null})), answer.totals.bots, 'requests') : h('p', {class: 'prob'}, 'No crawlers, previews or prefetches came.');
  });
  drawFoot(answers);
}

/** @param {any} answer @returns {string} the metric that its rows have */
const countedOf = answer => ['clicks', 'visitors', 'views', 'bots'].find(name => name in (answer.rows[0] ?? {})) ?? 'clicks';

const nothing = () => (filtersOf(view.state.query).length ? empty('Nothing passes these filters.', button('Clear the filters', {class: 'small', onclick: clearFilters})) : h('p', {class: 'prob'}, 'Nothing in this period.'));

/** Fill a card's place with its answer, or with why there is none. @param {string} name @param {any} answer @param {(answer: any) => any} drawn */
function put(name, answer, drawn) {
  const refused = view.refused.get(name);
  if (answer) return fill(view.places[name], drawn(answer));
  const reason = refused?.reason ?? 'is not there';
  const offer = /ask for (\d{4}-\d\d-\d\d) or later/.exec(reason);
  return fill(view.places[name], h('div', {class: 'prob', role: 'status'}, h('div', {}, h('b', {}, 'This cannot be shown together'), h('p', {}, `The ${refused?.field || 'question'} ${reason}.`),
    h('div', {class: 'rowb'}, offer ? button(`From ${shortDay(offer[1])}`, {class: 'small', onclick: () => change({from: offer[1], to: view.data.answers[0].to, period: null})}) : null, button('Last 7 days', {class: 'small', onclick: () => change({period: '7d', from: null, to: null})}), filtersOf(view.state.query).length ? button('Clear the filters', {class: 'small', onclick: clearFilters}) : null))));
}

/** @param {any} each @param {any} answer @param {any} metric */
function drawCard(each, answer, metric) {
  const {query} = view.state, dimension = shownOf(query, each), unit = dimension === 'event' ? 'events' : metric.unit;
  fill(view.rights[each.name], dimension === 'event' ? 'events · change' : `${metric.title.toLowerCase()} · change`);
  put(each.name, answer, () => [
    answer.rows.length ? barList(barsOf(query, dimension, answer), answer.totals[metric.name] ?? 0, unit) : dimension === 'event' ? h('p', {class: 'prob'}, 'No events of your own in this period.') : nothing(),
    answer.rows.length ? h('a', {class: 'more', href: () => href({all: dimension})}, `All ${PLURALS[dimension].toLowerCase()} →`) : null,
  ]);
}

/** @param {any} answer */
function drawHours(answer) {
  fill(view.rights.hours, answer ? `${periodWords(answer).split(' · ').at(-1)} time` : '');
  put('hours', answer, () => {
    const counted = countedOf(answer), unit = METRICS.find(each => each.name === counted)?.unit ?? counted;
    return h('div', {class: 'body'}, view.heatAs === 'table' ? hoursTable(answer, counted, unit) : heat(answer, counted, unit));
  });
}

/** @param {any} total @param {any} data @param {any} metric */
function drawFigures(total, data, metric) {
  const {query, role} = view.state, marks = marksOf(total, data.annotations ?? []);
  const line = {...lineOf(total, metric, now(), rangeOf), marks: marks.map(({at, note}) => ({at, text: note.text}))};
  if (view.chart?.isConnected) view.chart.show(line);
  else view.chart = lineChart(line);
  fill(view.main, figures(total, metric.name, name => () => href({metric: name === 'clicks' ? null : name})),
    h('div', {class: 'legend'}, h('span', {}, h('i'), 'This period'), h('span', {}, h('i', {class: 'p'}), total.previous?.alignment === 'until_now' ? 'The period before, until the same time' : 'The period before'), h('span', {class: 'push r'},
      segments('Step', STEPS, intervalOf(query), name => change({interval: name})), ' ', segments('Show as', [['chart', 'Chart'], ['table', 'Table']], view.chart.isTable() ? 'table' : 'chart', name => view.chart.twin(name === 'table')))),
    h('div', {class: 'body'}, view.chart),
    h('ol', {class: 'notes', 'aria-label': 'Notes'}, marks.map(({note}, i) => h('li', {}, h('b', {'aria-hidden': 'true'}, letter(i)), role === 'viewer' ? h('span', {}, shortDay(note.at), ': ', h('bdi', {}, note.text)) : h('button', {type: 'button', class: 'link', onclick: () => noteDialog(view.state, note, () => view.polling.now())}, shortDay(note.at), ': ', h('bdi', {}, note.text)))),
      role !== 'viewer' && h('li', {}, h('button', {type: 'button', class: 'link', onclick: () => noteDialog(view.state, null, () => view.polling.now())}, '+ Note'))));
}

/** Notes with the point of the chart they stand at. @param {any} total @param {any[]} notes */
function marksOf(total, notes) {
  const starts = total.rows.map((/** @type {any} */ row) => Date.parse(row.time));
  return notes.map(note => {
    // A day is the chart's own, whatever its zone: its noon lies within it.
    const at = note.at.length === 10 ? starts.findLastIndex((/** @type {number} */ _, /** @type {number} */ i) => total.rows[i].time.slice(0, 10) <= note.at) : starts.findLastIndex((/** @type {number} */ start) => start <= Date.parse(note.at));
    return {at, note};
  }).filter(({at}) => at >= 0);
}

/** Show a range of the chart as the period. @param {any} from @param {any} to */
function rangeOf(from, to) {
  const rows = view.data.answers[0].rows, after = rows[rows.findIndex((/** @type {any} */ row) => row.time === to.time) + 1];
  change({from: from.time, to: after?.time ?? view.data.answers[0].to, period: null});
}

/** @param {Record<string, any>} answers */
function drawFoot(answers) {
  const caps = Object.entries(Object.assign({}, ...Object.values(answers).map(answer => answer?.caps ?? {})));
  const capped = caps.length ? ` Of a busy day, in each quarter of an hour the first ${number(/** @type {any} */ (caps[0][1]).profile)} values are counted apart, the rest as (other).` : '';
  fill(view.foot, `Nothing is sampled. Visitors of several days add up. Requests are judged by rule ${number(answers.total.rule)}.${capped}`);
}

/** @param {any} problem */
function failed(problem) {
  if (!view.data) return fill(view.main, problemView(problem, () => view.polling.now(), filtersOf(view.state.query).length ? [button('Clear the filters', {class: 'small', onclick: clearFilters})] : []));
  fill(view.badge, asOf(problem.status ? problem.title : `Not reached since ${clock(new Date(now()))}, trying again`, 'warn'));
  view.grid.classList.add('stale');
}

/** Words of a filter's value; of a link its title, once it is known. @param {string} dimension @param {string} one */
function nameOf(dimension, one) {
  if (dimension !== 'link') return value(dimension, one);
  const row = view?.data?.answers.flatMap((/** @type {any} */ answer) => answer.rows).find((/** @type {any} */ each) => each.link === one);
  return one === '0' ? 'the page' : row?.title || row?.slug || 'a link';
}
