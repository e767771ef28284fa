// Figures that a member shares: who has the link reads what its share allows, without an account. The token is in the
// fragment, which no server sees.

import {h, fill, typed} from '../dom.js';
import {actAs, ask, get, poll} from '../api.js';
import {asOf, card, problemView, skeleton, top} from '../card.js';
import {lineChart} from '../chart.js';
import {now} from '../clock.js';
import {barList} from '../figures.js';
import {clock, dateTime, value, zone} from '../format.js';
import {gate} from '../gate.js';
import {lineOf, METRICS} from './overview_figures.js';

const EVERY_MS = 30_000, BARS = 10, MOST_CARDS = 8;
const TITLES = /** @type {Record<string, string>} */ ({source: 'Sources', referrer: 'Referrers', country: 'Countries', city: 'Cities', device: 'Devices', browser: 'Browsers', os: 'Systems', language: 'Languages', utm_campaign: 'Campaigns'});

/** @type {any} */
let polling = null;

/** @param {HTMLElement} root */
export async function show(root) {
  const token = location.hash.slice(1);
  if (!token) return fill(root, gate('Nothing is shared here', 'The link is not whole: what follows # is missing.'));
  actAs(token);
  try {
    draw(root, await get('/v1/shares/current', {open: true}));
  } catch (problem) {
    if (!('status' in /** @type {any} */ (problem))) throw problem;
    if (/** @type {any} */ (problem).status === 401) fill(root, gate('This link leads nowhere any more', 'Its time is over, or who shared it has taken it back. Ask them for another one.'));
    else fill(root, gate('The figures could not be read', '', problemView(problem, () => show(root))));
  }
}

export function leave() {
  polling?.stop();
  actAs('');
}

/** @param {HTMLElement} root @param {any} share */
function draw(root, share) {
  const shown = METRICS.filter(({name}) => share.metrics.includes(name)), dimensions = share.dimensions.filter((/** @type {string} */ each) => TITLES[each]).slice(0, MOST_CARDS);
  const main = h('div', {}, skeleton('big', 'w9', 'w8')), places = dimensions.map(() => h('div', {class: 'fillin'}, skeleton('w9', 'w7', 'w5'))), badge = h('span', {role: 'status'});
  let metric = shown[0], data = /** @type {any} */ (null);
  fill(root, h('main', {class: 'sharedin', id: 'main', tabindex: -1},
    top(share.title || share.handle, badge, h('span', {class: 'note period'}, typed(`@${share.handle}`), share.expires_at && `, until ${dateTime(share.expires_at)}`)),
    h('div', {class: 'grid'}, h('section', {class: 'card c12', 'aria-label': 'Figures of the period'}, main), places.map((/** @type {any} */ place, /** @type {number} */ i) => card(TITLES[dimensions[i]], {class: 'c4'}, place)))));
  const questions = () => {
    const base = {tz: zone(), metrics: share.metrics.join(',')};
    return [{...base, interval: 'day'}, ...dimensions.map((/** @type {string} */ group) => ({...base, group, order: `-${metric.name}`, limit: BARS}))];
  };
  function redraw() {
    const [total, ...answers] = data.answers;
    fill(badge, asOf(data.as_of ? `Counted to ${clock(data.as_of)}` : 'Nothing counted yet'));
    const choose = (/** @type {any} */ each) => () => { metric = each; redraw(); polling.now(); };
    fill(main, h('div', {class: 'kpibar kpis', role: 'group', 'aria-label': 'What the chart shows'}, shown.map(each => h('button', {type: 'button', class: 'kpi', 'aria-pressed': String(each === metric), onclick: choose(each)}, h('span', {class: 'l'}, each.title), h('strong', {}, each.show(total.totals[each.name]))))),
      h('div', {class: 'body'}, lineChart(lineOf(total, metric, now(), () => {}))));
    answers.forEach((/** @type {any} */ answer, /** @type {number} */ i) => fill(places[i], answer.rows.length ? barList(answer.rows.map((/** @type {any} */ row) => ({text: value(dimensions[i], row[dimensions[i]]), value: row[metric.name], href: null})), answer.totals[metric.name], metric.unit) : h('p', {class: 'prob'}, 'Nothing in this period.')));
  }
  polling = poll(() => ask(`/v1/profiles/${share.profile_id}/stats/batch`, {questions: questions()}, {open: true}), EVERY_MS,
    answer => { if (answer !== data) { data = answer; redraw(); } },
    problem => fill(data ? badge : main, data ? asOf(`Not reached since ${clock(new Date(now()))}, trying again`, 'warn') : problemView(problem, () => polling.now())));
}
