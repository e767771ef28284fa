// The experiment that runs, or else is paused, or was decided last.

import {h, fill, newId} from '../dom.js';
import {empty, skeleton} from '../card.js';
import {linkButton} from '../controls.js';
import {match, pathOf} from '../url.js';
import {draw as drawTrial} from './overview_trial.js';

/** @param {any} profile */
export function experimentCard(profile) {
  const id = newId('card'), head = h('header', {}, h('h2', {id}, 'Experiment')), body = h('div', {class: 'fillin'}, skeleton('w9', 'w8', 'w9', 'w9'));
  const element = h('section', {class: 'card c7 exp', 'aria-labelledby': id}, head, body);
  /** @type {any} */
  let last;
  /** @param {any} overview the experiment's, or null */
  function draw(overview) {
    if (overview === last) return;
    last = overview;
    if (overview) drawTrial(head, body, id, profile, overview.experiment, overview.results, overview.series);
    else none(head, body, id, profile);
  }
  const failed = () => { if (last === undefined) fill(body, empty('The experiments could not be read. Trying again.')); };
  return {element, draw, failed};
}

/** @param {any} head @param {any} body @param {string} id @param {any} profile */
function none(head, body, id, profile) {
  fill(head, h('h2', {id}, 'Experiments'));
  const place = pathOf(profile, 'experiments');
  fill(body, empty('No experiment runs. Try two targets for one link, or two titles on the page: the result may be watched all day.', match(place) && linkButton('Plan one', {href: place, icon: 'flask-conical'})));
}
