// What GitHub says of a link's repository, in the link's drawer, and a way to ask it now.

import {h, fill, typed} from '../dom.js';
import {change as send, get} from '../api.js';
import {button, tag} from '../controls.js';
import {ago} from '../clock.js';
import {number, plural} from '../format.js';
import {tellProblem} from '../toast.js';

const AGAIN_MS = 1_500, LOOKS = 20; // for the worker's answer

/** @param {any} link @param {boolean} writes */
export function githubPart(link, writes) {
  const place = h('div', {}), act = button('Ask GitHub now', {icon: 'rotate-cw', class: 'small', onclick: ask});
  draw(link.github);

  /** @param {any} sync */
  function draw(sync) {
    const facts = [sync.stars != null && `★ ${number(sync.stars)}`, sync.forks != null && plural(sync.forks, 'fork'), sync.language, sync.licence, sync.last_release && `release ${sync.last_release.tag}`].filter(Boolean);
    fill(place, facts.length ? h('p', {}, typed(facts.join(' · '))) : null,
      sync.renamed_to && h('p', {}, tag('warn', 'renamed'), ' It is at ', typed(sync.renamed_to), '.'), sync.archived && h('p', {}, tag('warn', 'archived'), ' Nobody works on it any more.'),
      h('p', {class: 'note'}, sync.synced_at ? ['Read ', ago(sync.synced_at), '. '] : 'Not read yet. ', typed(sync.reason ?? '')), writes && h('div', {class: 'rowb'}, act));
  }

  async function ask() {
    act.setAttribute('aria-busy', 'true');
    const path = `/v1/links/${link.id}/github-sync`;
    try {
      const before = (await send('POST', path)).github;
      for (let look = 0; look < LOOKS && place.isConnected; look++) {
        await new Promise(resolve => { setTimeout(resolve, AGAIN_MS); });
        const sync = await get(path);
        draw(sync);
        if (sync.synced_at !== before.synced_at || sync.reason !== before.reason) break;
      }
    } catch (problem) { tellProblem(problem); } finally { act.removeAttribute('aria-busy'); }
  }
  return h('section', {class: 'part'}, h('h3', {}, 'GitHub'), place);
}
