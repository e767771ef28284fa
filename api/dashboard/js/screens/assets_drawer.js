// A picture's drawer: its files with their addresses, which versions of the page have it, and its end.

import {h, typed} from '../dom.js';
import {change as send} from '../api.js';
import {ago} from '../clock.js';
import {button} from '../controls.js';
import {confirm, drawer} from '../dialog.js';
import {bytes, dateTime, list, number, plural} from '../format.js';
import {copy, tellProblem, toast} from '../toast.js';
import {pathOf} from '../url.js';

/** @param {any} view @param {any} item @param {Element} thumb @param {() => void} closed */
export function pictureDrawer({state, writes, path, load}, item, thumb, closed) {
  const widths = [...new Set(item.renditions.map((/** @type {any} */ file) => file.width))], filesOf = (/** @type {any} */ width) => item.renditions.filter((/** @type {any} */ file) => file.width === width), used = item.page_versions.length > 0;
  const part = (/** @type {string} */ title, /** @type {any} */ note, /** @type {any[]} */ ...children) => h('section', {class: 'part'}, h('h3', {}, title, h('span', {class: 'r'}, note)), children);
  const box = drawer(item.name || 'Picture', [
    h('div', {class: 'shown'}, thumb),
    part('Address', 'a JPEG, which never changes', h('p', {class: 'url'}, typed(item.url)), h('p', {class: 'rowb rowpad'}, button('Copy', {icon: 'copy', class: 'small', onclick: () => copy(item.url)}))),
    part('Files', `${bytes(item.bytes)} in all`, h('table', {class: 'list files'}, h('caption', {class: 'vh'}, 'Files of the picture'), h('thead', {}, h('tr', {}, ['Size', 'Kinds', 'Bytes'].map((title, i) => h('th', {scope: 'col', class: i > 1 ? 'num' : null}, title)))),
      h('tbody', {}, widths.map(width => h('tr', {}, h('th', {scope: 'row'}, `${number(width)} × ${number(filesOf(width)[0].height)}`), h('td', {}, list(filesOf(width).map((/** @type {any} */ file) => KINDS[file.format] ?? file.format))), h('td', {class: 'num'}, list(filesOf(width).map((/** @type {any} */ file) => bytes(file.bytes)))))))),
    ),
    part('Where it is', '', h('p', {}, whereOf(item), ' ', used ? h('a', {class: 'under', href: pathOf(state.profile, 'page')}, 'Open the page') : null)),
    writes ? part('Delete', '', h('p', {class: 'note'}, used ? 'While the page has it, it stays. Versions that are no longer kept let it go.' : 'Its addresses answer for ten minutes more.'), h('div', {class: 'rowb'}, button('Delete', {icon: 'trash-2', class: 'danger', disabled: used, onclick: remove}))) : null,
  ], {sub: [`${number(item.width)} × ${number(item.height)} · `, 'uploaded ', ago(item.created_at, dateTime(item.created_at))], closed});

  async function remove() {
    if (!await confirm('Delete this picture?', 'Its files go, and cannot be brought back.', 'Delete')) return;
    try {
      await send('DELETE', `${path}/${item.id}`);
      box.close();
      toast('The picture is deleted');
    } catch (problem) {
      tellProblem(problem);
    }
    load();
  }
  return box;
}

const KINDS = /** @type {Record<string, string>} */ ({avif: 'AVIF', webp: 'WebP', jpg: 'JPEG'});

/** @param {any} item */
function whereOf({page_versions: versions}) {
  const kept = versions.filter((/** @type {number} */ version) => version > 0).length, draft = versions.includes(0);
  if (!versions.length) return 'Nowhere: no version of the page has it.';
  return `In ${list([draft ? 'the page’s draft' : '', kept ? plural(kept, 'kept version') + (draft ? '' : ' of the page') : ''].filter(Boolean))}.`;
}
