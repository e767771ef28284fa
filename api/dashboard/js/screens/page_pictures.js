// A picture of the page: chosen among the profile's, or uploaded.

import {h, fill} from '../dom.js';
import {all, change} from '../api.js';
import {button} from '../controls.js';
import {field, mark} from '../form.js';
import {toast} from '../toast.js';

const TAKEN = 'image/jpeg,image/png,image/webp,image/gif,image/avif,image/heic,image/heif';
const MAX_BYTES = 10 * 1024 * 1024;

/** @param {any} profile @returns {Promise<any[]>} the profile's pictures, newest first */
export const picturesOf = profile => all(`/v1/profiles/${profile.id}/assets`, 500);

/** @param {import('./page_kinds.js').Row} row @param {import('./page_fields.js').Place} place */
export function pictureField([name, , label, more = {}], {value, set, context, prefix = ''}) {
  const choice = h('select', {name: prefix + name, disabled: context.off, onchange: () => set(name, choice.value || null, true)});
  const file = h('input', {type: 'file', accept: TAKEN, hidden: true, 'aria-label': `Upload: ${label}`, onchange: () => { if (file.files[0]) upload(file.files[0]); }});
  const act = button('Upload', {icon: 'upload', onclick: () => file.click()});
  const box = field(label, h('div', {class: 'picked'}, choice, !context.off && act, file), {help: more.help});
  function draw() {
    const now = value()[name] ?? '', known = context.pictures.some((/** @type {any} */ picture) => picture.id === now) || !now;
    fill(choice, h('option', {value: ''}, 'None'), !known && h('option', {value: now}, 'One that is gone'),
      context.pictures.map((/** @type {any} */ picture) => h('option', {value: picture.id}, `${picture.name || 'Picture'} · ${picture.width} × ${picture.height}`)));
    choice.value = now;
  }
  /** @param {File} picture */
  async function upload(picture) {
    file.value = '';
    mark(box, picture.size > MAX_BYTES ? 'A picture has at most 10 MiB' : '');
    if (picture.size > MAX_BYTES) return;
    act.setAttribute('aria-busy', 'true');
    try {
      const asset = await change('POST', `/v1/profiles/${context.profile.id}/assets?name=${encodeURIComponent(picture.name.slice(-120))}`, picture);
      if (!context.pictures.some((/** @type {any} */ each) => each.id === asset.id)) context.pictures.unshift(asset);
      set(name, asset.id, true);
      draw();
      toast('Picture uploaded');
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      const {errors, detail, title} = /** @type {any} */ (problem);
      mark(box, errors?.[0]?.reason || detail || title);
    } finally {
      act.removeAttribute('aria-busy');
    }
  }
  draw();
  return box;
}
