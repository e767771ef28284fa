// What may be done with an experiment: start, pause, decide, archive, preview, delete.

import {h, fill, typed} from '../dom.js';
import {change as send, get} from '../api.js';
import {button, linkButton} from '../controls.js';
import {confirm, dialog} from '../dialog.js';
import {field, form} from '../form.js';
import {dateTime} from '../format.js';
import {copy, tellProblem, toast} from '../toast.js';

/**
 * The buttons of a state. `changed(experiment)` is called after each; null: it is deleted.
 * @param {any} experiment @param {any} results @param {(experiment: any) => void} changed
 */
export function actions(experiment, results, changed) {
  const {state, id, version} = experiment;
  const move = async (/** @type {string} */ action, /** @type {any} */ body, /** @type {string} */ said) => {
    changed(await send('POST', `/v1/experiments/${id}/${action}`, body, {version}));
    toast(said);
  };
  const asked = async (/** @type {string} */ title, /** @type {string} */ text, /** @type {string} */ word, /** @type {() => Promise<any>} */ act, bad = false) => {
    if (!await confirm(title, text, word, {bad})) return;
    await act().catch(problem => { if (!('status' in problem)) throw problem; tellProblem(problem); });
  };
  const start = () => asked(state === 'paused' ? 'Go on?' : 'Start the experiment?', state === 'paused' ? 'Visitors get their variants again, each the one of before.' : 'From then on visitors are shared out among the variants. How it is analysed cannot be changed afterwards.', state === 'paused' ? 'Go on' : 'Start', () => move('start', undefined, 'The experiment runs'));
  const pause = () => asked('Pause the experiment?', 'Visitors get the link or page as it is without the experiment. You can go on later.', 'Pause', () => move('pause', undefined, 'The experiment is paused'));
  const archive = () => asked('Archive the experiment?', 'It ends for good: visitors get the link or page as it is without the experiment. Its results stay.', 'Archive', () => move('archive', undefined, 'The experiment is archived'), true);
  const remove = () => asked('Delete the draft?', 'Nobody has seen it, and it cannot be brought back.', 'Delete', async () => { await send('DELETE', `/v1/experiments/${id}`, undefined, {version}); toast('The draft is deleted'); changed(null); }, true);
  const is = (/** @type {string[]} */ ...states) => states.includes(state);
  return [
    !is('archived') && button('Preview', {icon: 'eye', 'aria-haspopup': 'dialog', onclick: () => preview(experiment)}),
    is('draft') && button('Delete', {'aria-haspopup': 'dialog', onclick: remove}),
    is('paused', 'decided') && button('Archive', {'aria-haspopup': 'dialog', onclick: archive}),
    is('running') && button('Pause', {icon: 'pause', 'aria-haspopup': 'dialog', onclick: pause}),
    is('draft', 'paused') && button(state === 'draft' ? 'Start' : 'Go on', {icon: 'play', class: state === 'draft' ? 'main' : '', 'aria-haspopup': 'dialog', onclick: start}),
    is('running', 'paused') && button('Decide…', {icon: 'flag', class: 'main', 'aria-haspopup': 'dialog', onclick: () => decide(experiment, results, body => move('decide', body, 'Decided'))}),
  ];
}

/** Choose the winner. @param {any} experiment @param {any} results @param {(body: any) => Promise<any>} send */
function decide(experiment, results, send) {
  const best = results?.variants.find((/** @type {any} */ variant) => variant.decision === 'superior')?.name ?? experiment.variants[0].name;
  const open = !results?.variants.some((/** @type {any} */ variant) => variant.decision === 'superior' || variant.decision === 'harmful' || variant.decision === 'equivalent');
  const box = dialog('Decide', form([h('p', {}, 'Every visitor gets the winner from then on, and nothing is counted any more. It cannot be taken back.'),
    open && h('p', {class: 'note'}, 'No variant is known to be better yet.'),
    field('Winner', h('select', {name: 'winner', autofocus: true}, experiment.variants.map((/** @type {any} */ variant) => h('option', {value: variant.name, selected: variant.name === best}, variant.name))))], {
    action: 'Decide', foot: button('Cancel', {onclick: () => box.close()}),
    async send(values) { await send({winner: values.winner}); box.close(); },
  }));
}

/** URLs that show a variant for a day. @param {any} experiment */
function preview(experiment) {
  const place = h('div', {role: 'status'});
  const show = async (/** @type {string} */ name) => {
    try {
      const {url, expires_at: until} = await get(`/v1/experiments/${experiment.id}/preview?variant=${encodeURIComponent(name)}`);
      fill(place, h('p', {class: 'url', tabindex: 0}, url), h('p', {class: 'note'}, `Good until ${dateTime(until)}. Its visits are no part of the experiment.`), h('div', {class: 'rowb'}, linkButton('Open', {icon: 'external-link', href: url, target: '_blank', rel: 'noopener'}), button('Copy', {icon: 'copy', onclick: () => copy(url)})));
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      tellProblem(problem);
    }
  };
  dialog('Preview a variant', h('div', {class: 'form'}, h('div', {class: 'rowb'}, experiment.variants.map((/** @type {any} */ variant) => button(typed(variant.name), {onclick: () => show(variant.name)}))), place));
}
