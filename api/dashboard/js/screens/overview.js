// The overview of a profile.

import {h} from '../dom.js';
import {top} from '../card.js';

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  root.append(top('Overview'), h('p', {}, state.profile.handle));
}
