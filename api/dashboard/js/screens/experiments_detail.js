// One experiment: the verdict in a sentence, how it came about, its variants, and whether visitors are shared out as planned.

import {h, fill, svg, typed, whenFree} from '../dom.js';
import {get, poll} from '../api.js';
import {asOf, card, empty, problemView, skeleton, top} from '../card.js';
import {tag} from '../controls.js';
import {clock, country, dateTime, duration, list, number, percent, plural, relative, value} from '../format.js';
import {onKey} from '../keys.js';
import {now} from '../clock.js';
import {go, pathOf} from '../url.js';
import {actions} from './experiments_actions.js';
import {colourOf, history, leftZero} from './experiments_band.js';
import {activityCard, planCard, whyCard} from './experiments_tools.js';
import {variantsTable} from './experiments_variants.js';
import {bestOf, sentence} from './experiments_verdict.js';

const EVERY_MS = 10_000, POINTS = 54, DAY_MS = 86_400_000;

/** "running, day 9" @param {any} experiment */
export function stateTag({state, started_at: started}) {
  const day = started ? Math.max(1, Math.ceil((now() - Date.parse(started)) / DAY_MS)) : 1;
  return state === 'running' ? tag('info', `running, day ${number(day)}`) : tag(state === 'decided' ? 'ok' : state === 'paused' ? 'warn' : '', state);
}

/** @param {HTMLElement} root @param {import('../url.js').State} first @param {string} id */
export function detail(root, first, id) {
  const {profile, role} = first, badge = h('span', {role: 'status'}), place = h('div', {}, top('Experiment'), card('', {class: 'plainhead'}, skeleton('w9', 'w8', 'w9', 'w7')));
  let state = first, shown = '';
  /** @type {any} */
  let parts = null;
  root.append(h('nav', {class: 'crumbs', 'aria-label': 'Where you are'}, h('ol', {}, h('li', {}, h('a', {href: pathOf(profile, 'experiments')}, 'Experiments')))), place);
  const take = (/** @type {any} */ data) => whenFree(() => {
    const {experiment} = data, key = `${experiment.version} ${data.series?.points.length > 1}`;
    if (experiment.state !== 'running') polling.stop();
    fill(badge, asOf(`Read at ${clock(now())}`));
    if (key !== shown) parts = build(place, state, data, badge, role !== 'viewer' ? changed : null);
    shown = key;
    parts.draw(data);
  });
  const refused = (/** @type {any} */ problem) => {
    if (parts) fill(badge, asOf(problem.title ?? 'Not reached, trying again', 'warn'));
    else fill(place, top('Experiment'), problem.status === 404 ? empty('There is no such experiment in this profile.') : problemView(problem, () => polling.now()));
  };
  const begin = () => poll(() => read(id, profile, state.query.get('phase')), EVERY_MS, take, refused);
  let polling = begin();
  function changed(/** @type {any} */ experiment) {
    if (!experiment) return go(pathOf(profile, 'experiments'), {replace: true});
    polling.stop();
    polling = begin();
  }
  const endKey = onKey('t', 'Chart as a table', () => parts?.band?.swap());
  return {
    update(/** @type {any} */ next) {
      const same = next.query.get('phase') === state.query.get('phase');
      state = next;
      if (same) parts?.band?.move(next.query.get('at'));
      return same;
    },
    end() { polling.stop(); endKey(); },
  };
}

/** @param {string} id @param {any} profile @param {string | null} phase */
async function read(id, profile, phase) {
  const experiment = await get(`/v1/experiments/${encodeURIComponent(id)}`), of = phase ? `phase=${encodeURIComponent(phase)}` : '';
  if (experiment.profile_id !== profile.id) throw Object.assign(new Error('Not here'), {status: 404, title: 'Not here'});
  const subject = experiment.link_id ? await get(`/v1/links/${experiment.link_id}`).catch(() => null) : null; // deleted meanwhile
  if (!experiment.started_at) return {experiment, subject, results: null, series: null};
  const [results, series] = await Promise.all([get(`/v1/experiments/${id}/results?${of}`), get(`/v1/experiments/${id}/series?points=${POINTS}&${of}`)]);
  return {experiment, subject, results, series};
}

/**
 * Put all cards in place; `draw(data)` brings them up to date.
 * @param {HTMLElement} place @param {import('../url.js').State} state @param {any} first @param {HTMLElement} badge
 * @param {((experiment: any) => void) | null} changed null: the reader may only read
 */
function build(place, {profile, query}, first, badge, changed) {
  const {experiment, subject, series} = first, buttons = h('span', {class: 'rowb doing'}), facts = h('ul', {class: 'facts'}, factsOf(profile, experiment, subject).map(([name, text]) => h('li', {}, `${name} `, h('b', {}, text))));
  const verdict = h('section', {class: 'card c12 verdict', 'aria-label': 'Verdict'}), variants = h('div', {}), shared = h('div', {}), tags = h('span', {class: 'rowb'});
  const bandit = experiment.analysis.bandit, hasBand = series?.points.length > 1 && !bandit;
  const band = hasBand ? history(series, {at: query.get('at'), arm: Math.max(1, first.results.variants.indexOf(bestOf(first.results.variants.slice(1))))}) : null;
  const chart = h('div', {class: 'c8 full fillcard'}, band ? card('Difference to the control', {right: band.right}, band.element) : first.results && card(bandit ? 'Weights over time' : 'Difference to the control', {}, bandit ? weights(first.results) : notYet(first.results)));
  const why = changed && experiment.state !== 'archived' ? whyCard(experiment) : null, plan = planCard(experiment, first.results), log = activityCard(profile, experiment);
  const table = card('Variants', {class: 'c12', right: first.results && [h('a', {href: `/v1/experiments/${experiment.id}/results.csv`, download: ''}, 'results.csv'), h('span', {}, 'people, not clicks')]}, variants);
  const split = card('Shared out as planned?', {class: 'c4'}, shared);
  fill(place, h('div', {class: 'top'}, h('h1', {}, typed(experiment.name)), tags, h('span', {class: 'gap'}), badge, buttons), facts,
    h('div', {class: 'grid'}, verdict, first.results ? [chart, why, table, plan, split, log] : [plan, h('div', {class: 'c8 full fillcard'}, table), why, log]));
  return {band, draw(/** @type {any} */ data) {
    const {results} = data, mismatch = Boolean(results?.allocation.mismatch);
    fill(tags, stateTag(data.experiment), tag('', `phase ${number(results?.phase ?? data.experiment.phase)}`), results && (mismatch ? tag('bad', 'mismatch') : tag('ok', 'split as planned')));
    if (changed) fill(buttons, actions(data.experiment, results, changed));
    fill(verdict, verdictOf(data));
    verdict.classList.toggle('bad', mismatch);
    chart.hidden = mismatch;
    if (band && data.series.points.length > 1) band.show(data.series);
    fill(variants, variantsTable(data.experiment, results));
    if (results) fill(shared, split ? shares(results) : null);
  }};
}

/** @param {any} profile @param {any} experiment @param {any} subject @returns {[string, any][]} */
function factsOf(profile, experiment, subject) {
  const {targeting, analysis} = experiment, page = experiment.kind === 'page';
  const who = [...targeting.countries.map(country), ...targeting.devices.map((/** @type {string} */ device) => value('device', device)), ...targeting.languages];
  const link = subject && h('a', {href: pathOf(profile, 'links', subject.id)}, typed(`/${profile.handle}/${subject.slug}`));
  return /** @type {[string, any][]} */ ([
    [page ? 'Looks of' : 'Destination of', link || (experiment.block_id ? ['the block ', typed(experiment.block_id)] : 'a link that is deleted')],
    ['Goal', !page ? `a conversion within ${duration(experiment.attribution_hours * 3600)} of the click` : experiment.goal === 'page' ? 'a click on any link' : 'a click on it'],
    ['For', who.length ? list(who) : 'everybody'],
    ['Takes part', percent(experiment.coverage, 0)],
    ['False alarm', `${number(analysis.alpha * 100, 1)} % ever`],
    analysis.margin ? ['Equal within', `±${number(analysis.margin * 100, 2)} points`] : null,
    experiment.started_at ? ['Started', dateTime(experiment.started_at)] : null,
  ].filter(Boolean));
}

/** The sentence, what stands behind it, and what each day undecided costs. @param {any} data */
function verdictOf({experiment, results, series}) {
  if (!results && experiment.state === 'archived') return h('div', {}, h('p', {class: 'big'}, 'Archived before it was started.'));
  if (!results) return h('div', {}, h('p', {class: 'big'}, 'A draft: visitors see nothing of it before you start it.'), h('p', {class: 'sub'}, 'Plan how many visitors it needs, try its variants by Preview, then start it.'));
  const [control, ...treatments] = results.variants, best = bestOf(treatments), left = best && series.points.length > 1 && !results.allocation.mismatch ? leftZero(series, results.variants.indexOf(best)) : null;
  const lines = [left && best?.absolute ? `Zero has been left out since ${dateTime(left.at)}.` : null, results.inference, ...results.warnings].filter(Boolean);
  const locked = results.horizon?.locked && results.horizon;
  return [h('div', {}, h('p', {class: 'big'}, sentence(experiment, results, control, best)), lines.map(line => h('p', {class: 'sub'}, line)),
    locked && h('p', {class: 'sub'}, h('progress', {max: locked.planned, value: locked.visitors, 'aria-label': 'Visitors of the smallest variant'}), ` ${number(locked.visitors)} of ${plural(locked.planned, 'visitor')} planned in each variant`)), gain(experiment, results, best)];
}

/** What is lost each day where the others are shown; only once one is better. @param {any} experiment @param {any} results @param {any} best */
function gain(experiment, results, best) {
  if (experiment.state !== 'running' || best?.decision !== 'superior' || results.allocation.mismatch) return null;
  const begun = results.phases.find((/** @type {any} */ phase) => phase.phase === results.phase)?.started_at, days = Math.max(1, (now() - Date.parse(begun)) / DAY_MS);
  const lost = results.variants.filter((/** @type {any} */ variant) => variant !== best).reduce((/** @type {number} */ sum, /** @type {any} */ variant) => sum + variant.visitors / days * Math.max(0, best.rate - (variant.rate ?? 0)), 0);
  const what = experiment.kind === 'page' ? 'clicks' : 'conversions';
  return h('div', {class: 'gain'}, h('span', {}, 'Each day undecided'), h('strong', {}, `≈ ${number(lost, lost < 10 ? 1 : 0)}`), h('small', {}, `${what} not made where another variant is shown`));
}

/** @param {any} results */
const notYet = results => empty(results.horizon?.locked ? 'Nothing is compared before the planned size is reached: one look is what this experiment allows.' : 'The first look comes once both variants have had visitors for a few minutes.');

/** Weights of a bandit by phase. @param {any} results */
function weights(results) {
  const names = results.variants.map((/** @type {any} */ variant) => variant.name);
  const of = (/** @type {any} */ phase, /** @type {number} */ at) => { const sum = phase.variants.reduce((/** @type {number} */ total, /** @type {any} */ variant) => total + variant.weight, 0) || 1; return percent(phase.variants[at]?.weight / sum, 0); };
  return [h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Weights over time'}, h('table', {class: 'vars'}, h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'Since'), names.map((/** @type {string} */ name) => h('th', {scope: 'col'}, typed(name))))),
    h('tbody', {}, [...results.phases].reverse().map((/** @type {any} */ phase) => h('tr', {}, h('th', {scope: 'row'}, dateTime(phase.started_at)), names.map((/** @type {string} */ _, /** @type {number} */ at) => h('td', {}, of(phase, at)))))))),
  h('div', {class: 'body'}, h('p', {class: 'note'}, 'Weights follow the chance of being best, so there is no p-value or interval of the comparison.'))];
}

/** Planned and seen visitors of each variant, and the test of them. @param {any} results */
function shares(results) {
  const total = results.variants.reduce((/** @type {number} */ sum, /** @type {any} */ variant) => sum + variant.visitors, 0), share = results.variants.reduce((/** @type {number} */ sum, /** @type {any} */ variant) => sum + variant.share, 0) || 1;
  const {p_value: p, mismatch, unexpected_visitors: strangers} = results.allocation, crossed = results.variants.reduce((/** @type {number} */ sum, /** @type {any} */ variant) => sum + variant.multiple_exposures, 0);
  const off = (/** @type {number} */ by) => (by ? `${by > 0 ? '+' : '−'}${number(Math.abs(by))}` : '±0');
  let x = 0;
  const bars = results.variants.map((/** @type {any} */ variant, /** @type {number} */ i) => { const width = total ? variant.visitors / total * 300 : 300 / results.variants.length, at = x; x += width; return svg('rect', {class: colourOf(i), x: at + 1, y: 4, width: Math.max(0, width - 2), height: 14, rx: 3}); });
  let edge = 0;
  const planned = results.variants.slice(0, -1).map((/** @type {any} */ variant) => { edge += variant.share / share * 300; return svg('path', {class: 'ptr', d: `M${edge} 0V22`}); });
  return [h('div', {class: 'body'}, mismatch ? tag('bad', 'no') : tag('ok', 'yes'),
    h('table', {class: 'vars flush'}, h('thead', {}, h('tr', {}, ['Variant', 'Planned', 'Seen', 'Off by'].map(text => h('th', {scope: 'col'}, text)))), h('tbody', {}, results.variants.map((/** @type {any} */ variant) => { const plan = Math.round(variant.share / share * total); return h('tr', {}, h('th', {scope: 'row'}, typed(variant.name)), h('td', {}, number(plan)), h('td', {}, number(variant.visitors)), h('td', {}, off(variant.visitors - plan))); }))),
    svg('svg', {class: 'share', viewBox: '0 0 300 30', role: 'img', 'aria-label': `Seen shares ${results.variants.map((/** @type {any} */ variant) => percent(total ? variant.visitors / total : 0)).join(', ')}; lines show the planned ones`}, bars, planned, svg('text', {x: 300, y: 29, 'text-anchor': 'end'}, '| planned')),
    h('p', {class: 'note'}, mismatch ? `Something drops visitors of one variant (p ${number(p, 4)}). Find it before you compare anything; webhooks were told, and nothing is decided meanwhile.` : `As planned, or off by chance (p ${number(p, 2)}, valid at every look). A mismatch, below 0.001, stops every comparison here.`),
    crossed || strangers ? h('p', {class: 'note'}, [crossed && `${plural(crossed, 'visitor')} saw more than one variant and count in none.`, strangers && ` ${plural(strangers, 'visitor')} came to a variant of weight 0.`]) : null)];
}
