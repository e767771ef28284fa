// The table of variants: rates on one scale, so that intervals can be compared down the column.

import {h, svg, typed} from '../dom.js';
import {tag} from '../controls.js';
import {money, number, percent} from '../format.js';
import {colourOf} from './experiments_band.js';
import {points} from './experiments_verdict.js';

const KIND = /** @type {Record<string, '' | 'ok' | 'warn' | 'bad'>} */ ({superior: 'ok', harmful: 'bad', equivalent: 'ok'});

/** @param {any} experiment @param {any} results null for a draft */
export function variantsTable(experiment, results) {
  if (!results) return plan(experiment);
  const compared = !results.allocation.mismatch && !results.horizon?.locked, bandit = Boolean(experiment.analysis.bandit);
  const heads = ['Variant', 'Visitors', 'Crossed', ...(compared ? ['Converted', 'Rate', 'Rate, at every look', ...(bandit ? [] : ['Against control', 'p (Holm)']), 'Chance best', 'Expected loss', ...(bandit ? [] : ['So'])] : [])];
  const sum = results.variants.reduce((/** @type {number} */ total, /** @type {any} */ variant) => total + variant.weight, 0) || 1, scale = scaleOf(results.variants);
  const values = results.variants.flatMap((/** @type {any} */ variant) => variant.values.map((/** @type {any} */ each) => ({...each, name: variant.name})));
  return [h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of variants'}, h('table', {class: 'vars wide'},
    h('thead', {}, h('tr', {}, heads.map(text => h('th', {scope: 'col', class: text === 'Rate, at every look' ? 'l' : null}, text)))),
    h('tbody', {}, results.variants.map((/** @type {any} */ variant, /** @type {number} */ at) => h('tr', {}, h('th', {scope: 'row'}, h('i', {class: `sw ${colourOf(at)}`, 'aria-hidden': 'true'}), typed(variant.name), h('small', {}, percent(variant.weight / sum))),
      h('td', {}, number(variant.visitors)), h('td', {class: 'flat'}, number(variant.multiple_exposures)), compared && cells(variant, at, scale, bandit)))))),
  values.length > 0 && compared && h('div', {class: 'body'}, h('p', {class: 'note'}, 'Worth so far: ', values.map((/** @type {any} */ each, /** @type {number} */ i) => [i ? ' · ' : '', typed(each.name), ` ${money(each.sum, each.currency)} by ${number(each.conversions)}`])))];
}

/** @param {any} variant @param {number} at @param {(share: number) => number} scale @param {boolean} bandit */
function cells(variant, at, scale, bandit) {
  const {absolute: lift, sequential} = variant, wide = lift && lift.high - lift.low > 1, kind = variant.decision === 'superior' ? 'up' : variant.decision === 'harmful' ? 'down' : null;
  const against = at === 0 ? [h('td', {class: 'flat'}, 'baseline'), h('td', {class: 'flat'}, '–')]
    : [h('td', {}, lift && !wide ? [h('b', {class: kind}, points(lift.lift)), h('small', {}, `${points(lift.low)} … ${points(lift.high)}`)] : '–'), h('td', {}, chance(variant.p_value_holm), h('small', {}, `BH ${chance(variant.p_value_bh)}`))];
  return [h('td', {}, number(variant.converted)), h('td', {}, h('b', {}, variant.visitors ? percent(variant.rate, 2) : '–')),
    h('td', {class: 'l'}, sequential && variant.visitors ? [whisker(variant, at, scale), h('small', {}, `${percent(sequential.low)} … ${percent(sequential.high)}`)] : '–'), bandit ? null : against,
    h('td', {}, percent(variant.chance_best)), h('td', {}, variant.expected_loss == null ? '–' : number(variant.expected_loss * 100, 2)), bandit ? null : h('td', {}, variant.decision ? tag(KIND[variant.decision] ?? '', variant.decision) : '')];
}

/** @param {any} p */
const chance = p => (p == null ? '–' : p < 0.001 ? '< 0.001' : number(p, p < 0.1 ? 3 : 2));

/** From a share to its place in 120. @param {any[]} variants @returns {(share: number) => number} */
function scaleOf(variants) {
  const all = variants.filter(variant => variant.sequential && variant.visitors).flatMap(variant => [variant.sequential.low, variant.sequential.high]);
  const low = Math.min(1, ...all), high = Math.max(0, ...all), size = Math.max(1e-9, high - low);
  return share => 6 + (share - low) / size * 108;
}

/** @param {any} variant @param {number} at @param {(share: number) => number} x */
const whisker = ({rate, sequential}, at, x) => svg('svg', {class: `whisk ${colourOf(at)}`, viewBox: '0 0 120 16', role: 'img', 'aria-label': `${percent(rate, 2)}, between ${percent(sequential.low)} and ${percent(sequential.high)}`},
  svg('line', {x1: x(sequential.low), x2: x(sequential.high), y1: 8, y2: 8}), svg('circle', {cx: x(rate), cy: 8, r: 4}));

/** What each variant of a draft will be. @param {any} experiment */
function plan(experiment) {
  const sum = experiment.variants.reduce((/** @type {number} */ total, /** @type {any} */ variant) => total + variant.weight, 0) || 1;
  const what = (/** @type {any} */ variant) => variant.target || [variant.title, variant.style && `style ${variant.style}`, variant.position != null && `place ${variant.position + 1}`].filter(Boolean).join(', ') || 'as it is';
  return h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of variants'}, h('table', {class: 'vars'}, h('thead', {}, h('tr', {}, ['Variant', 'Weight', 'Shows'].map((text, i) => h('th', {scope: 'col', class: i === 2 ? 'l' : null}, text)))),
    h('tbody', {}, experiment.variants.map((/** @type {any} */ variant, /** @type {number} */ at) => h('tr', {}, h('th', {scope: 'row'}, h('i', {class: `sw ${colourOf(at)}`, 'aria-hidden': 'true'}), typed(variant.name)), h('td', {}, percent(variant.weight / sum)), h('td', {class: 'l any'}, typed(what(variant))))))));
}
