// An experiment in brief, for the overview: a sentence first, then the band, then the variants.

import {h, fill, typed} from '../dom.js';
import {band} from '../band.js';
import {tag} from '../controls.js';
import {number, percent, shortDay, signed} from '../format.js';
import {bestOf, points, sentence} from './experiments_verdict.js';
import {match, pathOf} from '../url.js';
import {now} from '../clock.js';

/** @param {any} head @param {any} body @param {string} id @param {any} profile @param {any} experiment @param {any} results @param {any} series */
export function draw(head, body, id, profile, experiment, results, series) {
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
