// Pictures of a profile: a grid, uploaded by a drop or a button, with what they take of the profile's limits.

import {h, fill, typed} from '../dom.js';
import {all, get} from '../api.js';
import {card, empty, loaded, skeleton, top} from '../card.js';
import {button, tag} from '../controls.js';
import {bytes, number, plural} from '../format.js';
import {go, pathOf} from '../url.js';
import {pictureDrawer} from './assets_drawer.js';
import {uploader} from './assets_upload.js';

const MOST = 500;

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const writes = state.role !== 'viewer', place = h('div', {}), room = h('div', {class: 'room'}), path = `/v1/profiles/${state.profile.id}/assets`;
  view = {state, writes, path, items: [], drawer: null, over: false};
  const uploads = writes ? uploader(view, () => load()) : null;
  root.append(top('Pictures', uploads && button('Upload', {icon: 'upload', class: 'main', onclick: () => uploads.choose()})),
    h('div', {class: 'dropzone', ...uploads?.listeners}, card('', {class: 'plainhead'}, room, uploads?.element, place), writes && h('div', {class: 'dropword', 'aria-hidden': 'true'}, 'Drop pictures to upload them')),
    h('p', {class: 'foot'}, 'JPEG, PNG, WebP, GIF, AVIF and HEIC, up to 10 MiB. Each is encoded anew in three widths, without its metadata: places, cameras and comments go.'));
  const grid = loaded(place, {ask: () => all(path, MOST), draw: items => drawn(items, uploads), skeleton: skeleton('big', 'w9', 'big')});
  const usage = loaded(room, {ask: () => get(`/v1/profiles/${state.profile.id}/asset-usage`), draw: usageOf});
  const load = view.load = async () => { await Promise.all([grid.load(), usage.load()]); if (view && !view.over) open(view.state); };
  load();
}

/** @param {import('../url.js').State} state */
export function update(state) {
  view.state = state;
  if (state.params.id) open(state);
  else view.drawer?.close();
}

export function leave() {
  const {drawer} = view ?? {};
  if (view) view.over = true;
  drawer?.close();
}

/** @param {any} usage */
function usageOf({assets, bytes: size, max_assets: most, max_bytes: largest}) {
  return [h('div', {}, h('b', {}, bytes(size)), ` of ${bytes(largest)} in ${plural(assets, 'picture')}`), h('progress', {class: size > largest * 0.9 || assets > most * 0.9 ? '' : 'go', max: largest, value: size, 'aria-label': `${bytes(size)} of ${bytes(largest)} are used`}), assets > most * 0.9 ? h('small', {}, `${number(most - assets)} more may be uploaded`) : null];
}

/** @param {any[]} items @param {any} uploads */
function drawn(items, uploads) {
  view.items = items;
  if (!items.length) return empty('No picture yet. What the page shows is uploaded here or in its editor.', uploads && button('Upload', {icon: 'upload', class: 'main', onclick: () => uploads.choose()}));
  return h('ul', {class: 'pictures'}, items.map(item => h('li', {}, h('a', {href: pathOf(view.state.profile, 'assets', item.id)}, thumb(view.path, item), h('span', {class: 'name'}, typed(item.name || 'Picture'))),
    h('small', {}, `${number(item.width)} × ${number(item.height)} · ${bytes(item.bytes)}`), usedTag(item))));
}

/** @param {any} item */
const usedTag = item => (item.page_versions.includes(0) ? tag('ok', 'on the page') : item.page_versions.length ? tag('', 'in earlier versions') : null);

/** The smallest file of a picture, which the console serves. @param {string} path @param {any} item */
const thumb = (path, item) => h('img', {src: `${path}/${item.id}/thumbnail`, width: 320, height: Math.max(1, Math.round(320 * item.height / item.width)), alt: '', loading: 'lazy', decoding: 'async'});

/** @param {import('../url.js').State} state */
function open(state) {
  const {id} = state.params;
  if (!id || view.drawer) return;
  const item = view.items.find((/** @type {any} */ each) => each.id === id);
  if (!item) return;
  view.drawer = pictureDrawer(view, item, thumb(view.path, item), () => { view.drawer = null; if (!view.over && view.state.params.id === id) go(pathOf(view.state.profile, 'assets'), {replace: true}); });
}
