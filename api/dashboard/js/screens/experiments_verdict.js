// What an experiment's results say, in a sentence.

import {h, typed} from '../dom.js';
import {signed} from '../format.js';

/** The treatment to speak of: the one with the largest estimate. @param {any[]} treatments */
export const bestOf = treatments => [...treatments].sort((a, b) => (b.absolute?.lift ?? -9) - (a.absolute?.lift ?? -9))[0];

/** Points of a share, with their sign. @param {any} value a share */
export const points = value => signed(value * 100, Math.abs(value) < 0.001 ? 2 : 1);

/** The verdict. @param {any} experiment @param {any} results @param {any} control @param {any} best @returns {any[]} */
export function sentence(experiment, results, control, best) {
  const name = (/** @type {any} */ variant) => h('b', {}, typed(variant.name));
  if (results.allocation?.mismatch) return ['Nothing is compared: visitors are not shared out as planned, so something drops those of one variant.'];
  if (experiment.state === 'decided') return ['Decided: every visitor gets ', h('b', {}, typed(experiment.winner ?? '')), '.'];
  if (results.horizon && !best?.absolute) return ['Nothing is compared before the planned size is reached.'];
  const lift = best?.absolute;
  if (!lift) return [name(control), ' and ', best ? name(best) : 'the others', ' have too few visitors to compare yet.'];
  const bounds = `the truth is between ${points(lift.low)} and ${points(lift.high)} points, however often you look`;
  if (best.decision === 'superior') return [name(best), ' beats ', name(control), ' by ', h('b', {}, `${points(lift.lift)} points`), `: ${bounds}.`];
  if (best.decision === 'harmful') return [name(best), ' loses to ', name(control), ' by ', h('b', {}, `${points(lift.lift)} points`), `: ${bounds}.`];
  if (best.decision === 'equivalent') return [name(best), ' is as good as ', name(control), `: ${bounds}.`];
  if (lift.high - lift.low > 1) return ['Too early to say: ', name(best), ' and ', name(control), ' have had few visitors.'];
  return [name(best), ' is ', lift.lift >= 0 ? 'ahead of ' : 'behind ', name(control), ' by ', h('b', {}, `${points(lift.lift)} points`), `, but may be better or worse: ${bounds}.`];
}
