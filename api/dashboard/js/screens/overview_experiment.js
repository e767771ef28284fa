// The experiment that runs, or was decided last. What draws it is loaded where there is one.

import {h, fill, newId} from '../dom.js';
import {get, poll} from '../api.js';
import {empty, skeleton} from '../card.js';
import {linkButton} from '../controls.js';
import {match, pathOf} from '../url.js';

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
    if (!chosen) return [null, null, null, null];
    return [chosen, ...await Promise.all([get(`/v1/experiments/${chosen.id}/results`), get(`/v1/experiments/${chosen.id}/series?points=${POINTS}`), import('./overview_trial.js')])];
  };
  const polling = poll(read, EVERY_MS, ([experiment, results, series, trial]) => {
    if (last && last.every((/** @type {any} */ each, /** @type {number} */ i) => each === [experiment, results, series][i])) return;
    last = [experiment, results, series];
    if (experiment) trial.draw(head, body, id, profile, experiment, results, series);
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
