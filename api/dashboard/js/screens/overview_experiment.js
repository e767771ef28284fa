// The experiment that runs, or was decided last: a sentence first, then the band, then the variants.

import {h, fill, newId, typed} from '../dom.js';
import {get, poll} from '../api.js';
import {band} from '../band.js';
import {empty, skeleton} from '../card.js';
import {linkButton, tag} from '../controls.js';
import {number, percent, shortDay, signed} from '../format.js';
import {bestOf, points, sentence} from './experiments_verdict.js';
import {match, pathOf} from '../url.js';
import {now} from '../clock.js';

const EVERY_MS = 120_000, POINTS = 60;
const ORDER = ['running', 'paused', 'decided'];

/** @param {any} profile */
export function experimentCard(profile) {
  const id = newId('card'), head = h('header', {}, h('h2', {id}, 'Experiment')), body = h('div', {class: 'fillin'}, skeleton('w9', 'w8', 'w9', 'w9'));
  const element = h('section', {class: 'card c7 exp', 'aria-labelledby': id}, head, body);
  /** @type {any} */
  let last = null;
  const read = async () => {
    const {items} = await get(`/v1/profiles/${profile.id}/experiments?limit=50`);
    const chosen = items.filter((/** @type {any} */ each) => ORDER.includes(each.state)).sort((/** @type {any} */ a, /** @type {any} */ b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || String(b.started_at).localeCompare(String(a.started_at)))[0];
    if (!chosen) return [null, null, null];
    return [chosen, ...await Promise.all([get(`/v1/experiments/${chosen.id}/results`), get(`/v1/experiments/${chosen.id}/series?points=${POINTS}`)])];
  };
  const polling = poll(read, EVERY_MS, ([experiment, results, series]) => {
    if (last && last.every((/** @type {any} */ each, /** @type {number} */ i) => each === [experiment, results, series][i])) return;
    last = [experiment, results, series];
    if (experiment) draw(head, body, id, profile, experiment, results, series);
    else none(head, body, id, profile);
  }, () => { if (!last) fill(body, empty('The experiments could not be read. Trying again.')); });
  return {element, end: () => polling.stop()};
}

/** @param {any} head @param {any} body @param {string} id @param {any} profile */
function none(head, body, id, profile) {
  fill(head, h('h2', {id}, 'Experiments'));
  const place = pathOf(profile, 'experiments');
  fill(body, empty('No experiment runs. Try two targets for one link, or two titles on the page: the result may be watched all day.', match(place) && linkButton('Plan one', {href: place, icon: 'flask-conical'})));
}

/** @param {any} head @param {any} body @param {string} id @param {any} profile @param {any} experiment @param {any} results @param {any} series */
function draw(head, body, id, profile, experiment, results, series) {
  const day = Math.max(1, Math.ceil((now() - Date.parse(experiment.started_at)) / 86_400_000)), place = pathOf(profile, 'experiments', experiment.id);
  const state = experiment.state === 'running' ? tag('info', `running, day ${day}`) : tag(experiment.state === 'decided' ? 'ok' : '', experiment.state);
  fill(head, h('h2', {id}, typed(experiment.name)), state, h('span', {class: 'r'}, results.allocation?.mismatch ? tag('bad', 'mismatch') : tag('ok', 'split as planned'), match(place) && h('a', {href: place}, 'Open →')));
  const [control, ...treatments] = results.variants, best = bestOf(treatments);
  fill(body,
    h('p', {class: 'say'}, sentence(experiment, results, control, best)),
    best?.absolute && series.points.length > 1 && !results.allocation?.mismatch && h('div', {class: 'body'}, bandOf(series, results.variants.indexOf(best), best.name)),
    h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Variants'}, variants(results, control)));
}

/** @param {any} series @param {number} variant @param {string} name */
function bandOf(series, variant, name) {
  const looks = series.points.map((/** @type {any} */ point) => {
    const {lift, low, high} = point.variants[variant];
    return {name: shortDay(point.at), estimate: lift == null ? null : lift * 100, low: low == null ? null : low * 100, high: high == null ? null : high * 100};
  });
  const last = looks.at(-1);
  return band(looks, {label: `The difference of ${name} over time, in points, with its interval: now ${signed(last.low)} to ${signed(last.high)}`});
}

/** @param {any} results @param {any} control */
function variants(results, control) {
  const heads = ['Variant', 'Visitors', 'Converted', 'Rate', 'Against control'];
  return h('table', {class: 'vars'}, h('thead', {}, h('tr', {}, heads.map(text => h('th', {scope: 'col'}, text)))), h('tbody', {}, results.variants.map((/** @type {any} */ variant) => {
    const lift = variant.absolute, kind = variant.decision === 'superior' ? 'up' : variant.decision === 'harmful' ? 'down' : null;
    return h('tr', {}, h('th', {scope: 'row'}, typed(variant.name)), h('td', {}, number(variant.visitors)), h('td', {}, number(variant.converted)), h('td', {}, variant.visitors ? percent(variant.rate, 2) : '–'), h('td', {class: kind}, variant === control || !lift || lift.high - lift.low > 1 ? '–' : `${points(lift.lift)} (${points(lift.low)} … ${points(lift.high)})`));
  })));
}
