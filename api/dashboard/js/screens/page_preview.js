// The draft as visitors would get it, drawn by the server in a frame that nothing of it can leave.

import {h} from '../dom.js';
import {segments} from '../controls.js';

/**
 * A preview that is drawn anew by `load`: another frame takes the place of the one before once it is there, so that
 * nothing flickers and Back does not go through frames.
 * @param {any} profile @param {string} width 'phone' or 'desktop' @param {(width: string) => void} choose
 */
export function previewOf(profile, width, choose) {
  const stage = h('div', {class: `stage ${width}`}), path = `/v1/profiles/${profile.id}/page/preview`;
  const choice = segments('Preview as on', [['phone', 'Phone'], ['desktop', 'Desktop']], width, value => { stage.className = `stage ${value}`; choose(value); });
  return {element: h('div', {class: 'preview'}, choice, stage), load() {
    const frame = h('iframe', {src: path, title: 'The draft as visitors would see it', sandbox: '', class: 'coming', onload() {
      for (const each of [...stage.children]) if (each !== frame && [...stage.children].indexOf(each) < [...stage.children].indexOf(frame)) each.remove();
      frame.classList.remove('coming');
    }});
    stage.append(frame);
    while (stage.children.length > 3) stage.children[1].remove();
  }};
}
