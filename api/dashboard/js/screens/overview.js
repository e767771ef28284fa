// The overview of a profile: its figures, what happens now, where visitors come from, and what needs its team.

import {h, fill, whenFree} from '../dom.js';
import {ask, get, poll} from '../api.js';
import {asOf, card, problemView, skeleton, top} from '../card.js';
import {linkButton, tabs} from '../controls.js';
import {lineChart} from '../chart.js';
import {barList} from '../figures.js';
import {clock, shortDay, value} from '../format.js';
import {onKey} from '../keys.js';
import {filterChips, intervalOf, isChosen, periodChoice, periodWords, questionOf, toggled, PERIODS} from '../period.js';
import {change, go, href, match, pathOf} from '../url.js';
import {tileMap} from '../tiles.js';
import {now} from '../clock.js';
import {firstSteps, figures, lineOf, METRICS} from './overview_figures.js';
import {liveCard} from './overview_live.js';
import {experimentCard} from './overview_experiment.js';
import {needsCard} from './overview_needs.js';

const EVERY_MS = 10_000, NEEDS_EVERY_MS = 120_000;
const BARS = 8, COUNTRIES = 250, LATEST = 30;
const SOURCES = /** @type {[string, string][]} */ ([['source', 'Sources'], ['referrer', 'Referrers'], ['utm_campaign', 'Campaigns']]);

/** @type {(() => void)[]} */
let ends = [];
/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  view = build(root, state);
  const {profile} = state;
  view.polling = poll(() => ask(`/v1/profiles/${profile.id}/stats/batch`, questions(view.state.query)), EVERY_MS, data => whenFree(() => drawNew(data)), failed);
  const {needs, experiment} = view, slow = poll(() => get(`/v1/profiles/${profile.id}/overview`), NEEDS_EVERY_MS, data => whenFree(() => { needs.draw(data); experiment.draw(data.experiment); }), experiment.failed);
  ends = [
    () => view.polling.stop(), () => slow.stop(), () => view.live.end(),
    ...METRICS.map(({name, title}, i) => onKey(String(i + 1), title, () => change({metric: i ? name : null}))),
    onKey('[', 'Longer period', () => stepPeriod(1)), onKey(']', 'Shorter period', () => stepPeriod(-1)),
    toLinks(profile) ? onKey('n', 'New link', () => { go(`${pathOf(profile, 'links')}?new=1`); }) : () => {},
    onKey('r', 'Count again', () => view.polling.now()),
    onKey('x', 'Clear filters', () => change(Object.fromEntries([...view.state.query.keys()].filter(name => name.startsWith('filter[')).map(name => [name, null])))),
  ];
}

/** @param {import('../url.js').State} state */
export function update(state) {
  const before = JSON.stringify(questions(view.state.query));
  view.state = state;
  whenFree(() => {
    fill(view.chips, filterChips(view.state.query, nameOf));
    fill(view.choice, periodChoice(view.state.query));
  });
  if (JSON.stringify(questions(state.query)) === before && view.data) return draw(view.data);
  view.main.classList.add('stale');
  return view.polling.now();
}

export function leave() {
  for (const end of ends) end();
  ends = [];
}

/** @param {number} step */
function stepPeriod(step) {
  const at = PERIODS.findIndex(([name]) => name === (view.state.query.get('period') ?? '30d')) + step;
  if (PERIODS[at]) change({period: PERIODS[at][0], from: null, to: null});
}

/** @param {URLSearchParams} query */
function questions(query) {
  const base = questionOf(query), metric = metricOf(query).name, source = tabOf(query);
  const group = (/** @type {string} */ dimension, /** @type {number} */ limit) => ({...base, group: dimension, metrics: metric === 'clicks' ? 'clicks' : `clicks,${metric}`, order: `-${metric}`, limit});
  return {
    questions: [{...base, interval: intervalOf(query), compare: 'previous'}, group('link', BARS), group(source, BARS), group('country', COUNTRIES)],
    latest_clicks: LATEST,
  };
}

/** @param {URLSearchParams} query */
const tabOf = query => SOURCES.find(([name]) => name === query.get('tab'))?.[0] ?? 'source';
/** @param {URLSearchParams} query */
const metricOf = query => METRICS.find(each => each.name === query.get('metric')) ?? METRICS[0];

/** @param {HTMLElement} root @param {import('../url.js').State} state */
function build(root, state) {
  const {profile} = state, badgePlace = h('span', {role: 'status'}), period = h('span', {class: 'note period'});
  const chips = h('div', {}, filterChips(state.query, nameOf)), choice = h('span', {class: 'choice'}, periodChoice(state.query));
  const main = h('div', {}, skeleton('big', 'w9', 'w9', 'w8', 'w9', 'w7', 'w9', 'w8', 'w9'));
  const links = h('div', {class: 'fillin'}, skeleton('w9', 'w8', 'w7', 'w6', 'w5')), sources = h('div', {class: 'fillin'}, skeleton('w9', 'w8', 'w6'));
  const countries = h('div', {class: 'fillin'}, skeleton('big', 'w9', 'w9', 'w8'));
  const live = liveCard(profile), experiment = experimentCard(profile), needs = needsCard(state);
  const strip = tabs('Where from', SOURCES, tabOf(state.query), () => sources, name => change({tab: name === 'source' ? null : name}, {replace: true}));
  root.append(
    top('Overview', badgePlace, period, choice, toLinks(profile) && linkButton('New link', {icon: 'plus', class: 'main', href: `${pathOf(profile, 'links')}?new=1`})),
    chips,
    h('div', {class: 'grid'},
      h('section', {class: 'card c8 first', 'aria-label': 'Figures of the period'}, main), live.element,
      card('Links', {class: 'c5', right: 'of the period'}, links, toLinks(profile) && h('a', {class: 'more', href: pathOf(profile, 'links')}, 'All links →')), experiment.element,
      card('Where from', {class: 'c3w'}, strip), card('Countries', {class: 'c5'}, countries), needs.element));
  return {root, state, badgePlace, period, choice, chips, main, links, sources, countries, live, experiment, needs, data: null, chart: null, polling: null};
}

/** Return whether the screen of links is there. @param {any} profile */
const toLinks = profile => match(pathOf(profile, 'links')) !== null;

/** Draw an answer; the same one as before takes away what a problem left. @param {any} data */
function drawNew(data) {
  if (data !== view.data || view.main.classList.contains('stale')) draw(data);
}

/** @param {any} data */
function draw(data) {
  const [total, byLink, bySource, byCountry] = data.answers, {query, profile} = view.state, metric = metricOf(query);
  view.data = data;
  view.live.latest(data.latest_clicks);
  view.main.classList.remove('stale');
  fill(view.badgePlace, data.as_of ? asOf(`Counted to ${sameDay(data.as_of) ? clock(data.as_of) : shortDay(data.as_of)}`) : asOf('Nothing counted yet'));
  fill(view.period, periodWords(total));
  for (const row of byLink.rows) view.live.name(row.link, row.title || row.slug || 'The page');
  drawFigures(total, data, metric, profile);
  const bars = (/** @type {any} */ answer, /** @type {(row: any) => any} */ bar) => (answer.rows.length ? barList(answer.rows.map(bar), answer.totals[metric.name], metric.unit) : h('p', {class: 'prob'}, 'Nothing in this period.'));
  fill(view.links, bars(byLink, row => ({text: row.link === '0' ? 'The page itself' : row.title || row.slug || 'A deleted link', sub: row.slug && `/${row.handle}/${row.slug}`, value: row[metric.name], href: () => toggled('link', row.link), state: isChosen(query, 'link', row.link) ? 'chosen' : ''})));
  const dimension = tabOf(query);
  fill(view.sources, bars(bySource, row => ({text: value(dimension, row[dimension]), value: row[metric.name], href: () => toggled(dimension, row[dimension]), state: isChosen(query, dimension, row[dimension]) ? 'chosen' : ''})));
  fill(view.countries, h('div', {class: 'body'}, tileMap(byCountry.rows.map((/** @type {any} */ row) => ({country: row.country, value: row[metric.name]})), code => toggled('country', code), metric.unit)),
    bars({...byCountry, rows: byCountry.rows.slice(0, 4)}, row => ({text: value('country', row.country), sub: row.country, value: row[metric.name], href: () => toggled('country', row.country), state: isChosen(query, 'country', row.country) ? 'chosen' : ''})));
}

/** @param {any} total @param {any} data @param {any} metric @param {any} profile */
function drawFigures(total, data, metric, profile) {
  const quiet = METRICS.every(({name}) => !total.totals[name] && !total.previous?.totals[name]);
  if (quiet && !data.latest_clicks.length && !view.state.query.toString()) {
    view.chart = null;
    return fill(view.main, firstSteps(profile));
  }
  const line = lineOf(total, metric, now(), rangeOf);
  if (view.chart?.isConnected) view.chart.show(line);
  else view.chart = lineChart(line);
  fill(view.main, figures(total, metric.name, name => () => href({metric: name === 'clicks' ? null : name})),
    h('div', {class: 'legend'}, h('span', {}, h('i'), `${metric.title}, this period`), h('span', {}, h('i', {class: 'p'}), total.previous?.alignment === 'until_now' ? 'The period before, until the same time' : 'The period before')),
    h('div', {class: 'body'}, view.chart));
}

/** Show a range of the chart as the period. @param {any} from @param {any} to */
function rangeOf(from, to) {
  const rows = view.data.answers[0].rows, after = rows[rows.findIndex((/** @type {any} */ row) => row.time === to.time) + 1];
  change({from: from.time, to: after?.time ?? view.data.answers[0].to, period: null});
}

/** @param {string} time */
const sameDay = time => Math.abs(now() - Date.parse(time)) < 20 * 3600 * 1000;

/** @param {any} problem */
function failed(problem) {
  if (!view.data) return fill(view.main, problemView(problem, () => view.polling.now()));
  fill(view.badgePlace, asOf(problem.status ? problem.title : `Not reached since ${clock(new Date(now()))}, trying again`, 'warn'));
  view.main.classList.add('stale');
}

/** Words of a filter's value; of a link its title, once it is known. @param {string} dimension @param {string} one */
function nameOf(dimension, one) {
  if (dimension !== 'link') return value(dimension, one);
  return one === '0' ? 'the page' : view?.live.nameOf(one) ?? 'a link';
}

