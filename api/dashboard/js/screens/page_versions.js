// Published versions of a page: any of them can be the draft again.

import {h, fill} from '../dom.js';
import {change, get} from '../api.js';
import {ago} from '../clock.js';
import {button, tag} from '../controls.js';
import {empty, problemView} from '../card.js';
import {dialog} from '../dialog.js';
import {number} from '../format.js';
import {paged} from '../table.js';
import {tellProblem, toast} from '../toast.js';

/** @param {import('./page_draft.js').Draft} draft @param {boolean} writes whether the reader may restore one */
export async function versionsDialog(draft, writes) {
  const place = h('div', {}), list = h('ul', {class: 'versions', 'aria-label': 'Published versions'});
  const box = dialog('Versions', place);
  const read = async (/** @type {string | null} */ cursor) => {
    const page = await get(`${draft.path}/versions?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    return {...page, items: page.items.map((/** @type {any} */ version) => ({...version, id: version.number}))};
  };
  const rows = paged(read, items => {
    if (!items.length) return fill(place, empty('Nothing is published yet. The first version comes with Publish.'));
    fill(list, items.map(version => h('li', {}, h('b', {}, `Version ${number(version.number)}`), h('small', {}, ago(version.published_at)),
      version.number === draft.published ? tag('ok', 'visitors get this') : null,
      writes && button('Make it the draft', {class: 'small r', 'aria-label': `Make version ${version.number} the draft`, onclick: () => restore(version.number)}))));
    return fill(place, list, rows.more);
  });
  const load = () => rows.restart().catch((/** @type {any} */ problem) => {
    if (!('status' in problem)) throw problem;
    fill(place, problemView(problem, load));
  });
  await load();

  /** @param {number} version */
  async function restore(version) {
    try {
      await draft.keep();
      draft.replace(await change('POST', `${draft.path}/versions/${version}/restore`, undefined, {version: draft.version}));
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      tellProblem(problem);
      return;
    }
    box.close();
    toast(`Version ${version} is the draft`, {action: 'Undo', act: () => draft.undo()});
  }
}
