// The dialog of a new experiment: what varies, its variants and their weights.

import {h, fill, newId} from '../dom.js';
import {all, change as send, get} from '../api.js';
import {button} from '../controls.js';
import {drawer} from '../dialog.js';
import {field, form} from '../form.js';
import {percent, plural, words} from '../format.js';
import {toast} from '../toast.js';

const MOST = 10, STYLES = ['plain', 'picture', 'featured', 'filled', 'centre'];

/**
 * @param {import('../url.js').State} state @param {(id: string) => void} made @param {() => void} closed
 * @returns {HTMLDialogElement}
 */
export function newExperiment(state, made, closed) {
  const body = h('div', {}), box = drawer('New experiment', body, {sub: 'It begins as a draft: visitors see nothing of it before you start it.', closed});
  subjects(state.profile).then(choices => {
    fill(body, choices.links.length ? fields(choices) : h('p', {}, 'An experiment needs a link. Make one first.'));
    body.querySelector('input')?.focus(); // the drawer is open already
  }, problem => fill(body, h('p', {role: 'alert'}, problem.detail || problem.message)));

  /** @param {{links: any[], blocks: any[]}} choices */
  function fields({links, blocks}) {
    const title = (/** @type {any} */ link) => `${link.title || link.slug} (/${state.profile.handle}/${link.slug})`;
    const byId = new Map(links.map(link => [link.id, link]));
    const kind = h('select', {name: 'kind', onchange: draw}, h('option', {value: 'destination'}, 'Where a link leads'), h('option', {value: 'page'}, 'How it looks on the page'));
    const subject = h('select', {name: 'link_id', onchange: draw}), lines = h('div', {class: 'arms'});
    /** @type {{name: string, weight: string, text: string, style: string}[]} */
    let arms = [{name: 'control', weight: '1', text: '', style: ''}, {name: 'variant', weight: '1', text: '', style: ''}];
    const isPage = () => kind.value === 'page';
    function draw() {
      const chosen = subject.value, pick = (/** @type {string} */ value, /** @type {string} */ text) => h('option', {value, selected: value === chosen}, text);
      fill(subject, isPage() && blocks.length ? h('optgroup', {label: 'Blocks of the page'}, blocks.map(block => pick(`block:${block.id}`, `${block.title || byId.get(block.link_id)?.title || words(block.kind)} (${words(block.kind)})`))) : null,
        h('optgroup', {label: 'Links'}, links.map(link => pick(`link:${link.id}`, title(link)))));
      const target = byId.get(subject.value.slice(5))?.target ?? '';
      fill(lines, arms.map((arm, at) => line(arm, at, target)), h('div', {class: 'rowb'}, button('Add a variant', {icon: 'plus', class: 'small', disabled: arms.length >= MOST, onclick: () => { arms.push({name: `variant ${arms.length}`, weight: '1', text: '', style: ''}); draw(); }}), h('p', {class: 'note', role: 'status'}, shares())));
    }
    const shares = () => {
      const sum = arms.reduce((total, arm) => total + (Number(arm.weight) || 0), 0);
      return sum > 0 ? `${plural(arms.length, 'variant')}: ${arms.map(arm => percent((Number(arm.weight) || 0) / sum, 0)).join(', ')} of the visitors` : 'The weights must not all be 0.';
    };
    /** @param {any} arm @param {number} at @param {string} target */
    function line(arm, at, target) {
      const path = `variants.${at}`, keep = (/** @type {string} */ name) => (/** @type {any} */ event) => { arm[name] = event.target.value; if (name === 'weight') fill(/** @type {any} */ (lines.querySelector('.note')), shares()); };
      const id = newId('arm');
      return h('fieldset', {class: 'armf', 'aria-labelledby': id}, h('legend', {id}, at ? `Variant ${at}` : 'Control', at > 1 && button('', {icon: 'x', class: 'sq', 'aria-label': `Take variant ${at} out`, onclick: () => { arms = arms.filter(each => each !== arm); draw(); }})),
        h('div', {class: 'two'}, field('Name', h('input', {name: `${path}.name`, value: arm.name, required: true, dir: 'auto', autocomplete: 'off', oninput: keep('name')})), field('Weight', h('input', {name: `${path}.weight`, type: 'number', min: 0, step: 'any', value: arm.weight, oninput: keep('weight')}))),
        isPage() ? h('div', {class: 'two'}, field('Title', h('input', {name: `${path}.title`, value: arm.text, dir: 'auto', autocomplete: 'off', oninput: keep('text')}), {help: 'Empty: as it is'}), field('Style', h('select', {name: `${path}.style`, onchange: keep('style')}, h('option', {value: ''}, 'As it is'), STYLES.map(style => h('option', {value: style, selected: style === arm.style}, words(style))))))
          : field('Target', h('input', {name: `${path}.target`, type: 'url', class: 'ltr', value: arm.text || (at ? '' : target), placeholder: 'https://', oninput: keep('text')})));
    }
    draw();
    return form([field('Name', h('input', {name: 'name', required: true, maxlength: 64, dir: 'auto', autocomplete: 'off', autofocus: true})), field('What varies', kind), field('Of', subject),
      lines, field('Visitors who take part', h('input', {name: 'coverage', type: 'number', min: 1, max: 100, value: 100}), {help: 'in percent; the others see what they see today'}),
      field('A difference to ignore', h('input', {name: 'margin', type: 'number', min: 0, max: 50, step: 'any', value: 0}), {help: 'in points; variants closer than that count as equal, 0 for never'})], {
      action: 'Create the draft',
      async send(values) {
        const [where, ...id] = values.link_id.split(':');
        const variants = arms.map((arm, at) => isPage() ? {name: arm.name.trim(), weight: Number(arm.weight), title: arm.text.trim() || null, style: arm.style || null}
          : {name: arm.name.trim(), weight: Number(arm.weight), target: String(values[`variants.${at}.target`] ?? '').trim()});
        const experiment = await send('POST', `/v1/profiles/${state.profile.id}/experiments`, {
          name: values.name.trim(), kind: values.kind, ...(where === 'block' ? {block_id: id.join(':')} : {link_id: id[0]}), variants,
          coverage: (values.coverage ?? 100) / 100, analysis: {margin: (values.margin ?? 0) / 100},
        }, {key: crypto.randomUUID()});
        toast('The draft is made');
        made(experiment.id);
        box.close();
      },
    });
  }
  return box;
}

/** What may be varied. @param {any} profile */
async function subjects(profile) {
  const [links, page] = await Promise.all([all(`/v1/profiles/${profile.id}/links`, 500), get(`/v1/profiles/${profile.id}/page/draft`).catch(() => null)]); // no page yet
  return {links, blocks: (page?.blocks ?? []).filter((/** @type {any} */ block) => block.link_id)};
}
