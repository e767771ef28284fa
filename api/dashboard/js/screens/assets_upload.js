// Uploads of pictures, one after the other: chosen or dropped, each with its progress and its reason if it is refused.

import {h, fill, icon, typed} from '../dom.js';
import {Problem, change as send} from '../api.js';
import {button} from '../controls.js';
import {bytes, plural} from '../format.js';
import {say} from '../toast.js';

const TAKEN = 'image/jpeg,image/png,image/webp,image/gif,image/avif,image/heic,image/heif', MAX_BYTES = 10 * 1024 * 1024, MAX_NAME = 120, MOST = 50;

/** @typedef {{name: string, size: number, file: File | null, sent: number, reason: string}} Upload */

/**
 * What uploads need: `element` shows those under way, `listeners` take a drop, `choose()` opens the browser's dialog.
 * @param {any} view with `path` and `state` @param {() => void} done called after each picture
 */
export function uploader(view, done) {
  /** @type {Upload[]} */
  let queue = [];
  let running = false, depth = 0;
  const element = h('ul', {class: 'uploads'});
  const input = h('input', {type: 'file', accept: TAKEN, multiple: true, hidden: true, 'aria-label': 'Pictures', onchange: () => { add([...input.files]); input.value = ''; }});
  element.append(input);
  const draw = () => {
    fill(element, input, queue.map(each => h('li', {class: each.reason ? 'bad' : null}, icon(each.reason ? 'triangle-alert' : 'upload'), h('span', {class: 'name'}, typed(each.name), h('small', {}, each.reason || bytes(each.size))),
      each.reason ? button('', {icon: 'x', class: 'sq plain', 'aria-label': `Forget ${each.name}`, onclick: () => { queue = queue.filter(other => other !== each); draw(); }})
        : h('progress', {class: 'go', max: each.size || 1, value: each.sent < each.size ? each.sent : undefined, 'aria-label': each.sent < each.size ? `Sending ${each.name}` : `Encoding ${each.name}`}))));
  };
  /** @param {File[]} files */
  function add(files) {
    const taken = files.slice(0, MOST);
    queue.push(...taken.map(file => ({name: file.name, size: file.size, file, sent: 0, reason: file.size > MAX_BYTES ? 'A picture has at most 10 MiB' : ''})));
    if (files.length > MOST) queue.push({name: plural(files.length - MOST, 'more picture'), size: 0, file: null, sent: 0, reason: `At most ${MOST} at once: choose them again`});
    draw();
    run();
  }
  async function run() {
    if (running) return;
    running = true;
    let made = 0;
    for (let next; !view.over && (next = queue.find(each => !each.reason));) {
      const upload = next;
      try {
        await sendPicture(`${view.path}?name=${encodeURIComponent(upload.name.slice(-MAX_NAME))}`, /** @type {File} */ (upload.file), view.state.me.csrf_token, sent => { upload.sent = sent; draw(); });
        queue = queue.filter(each => each !== upload);
        made++;
        done();
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        upload.reason = problem.errors[0]?.reason ?? (problem.detail || problem.title);
        upload.reason = upload.reason[0].toUpperCase() + upload.reason.slice(1);
      }
      if (!view.over) draw();
    }
    running = false;
    if (made) say(`${plural(made, 'picture')} uploaded`);
  }
  const hold = (/** @type {any} */ event) => { if ([...event.dataTransfer.types].includes('Files')) { event.preventDefault(); return true; } return false; };
  const over = (/** @type {any} */ event, /** @type {number} */ by) => { depth = Math.max(0, depth + by); event.currentTarget.classList.toggle('over', depth > 0); };
  return {
    element,
    choose: () => input.click(),
    listeners: {
      ondragover: hold,
      ondragenter: (/** @type {any} */ event) => { if (hold(event)) over(event, 1); },
      ondragleave: (/** @type {any} */ event) => { if (hold(event)) over(event, -1); },
      ondrop: (/** @type {any} */ event) => { if (!hold(event)) return; depth = 0; over(event, 0); add([...event.dataTransfer.files]); },
    },
  };
}

/**
 * Send a picture and tell how many bytes are sent, which fetch() does not. A session that ended is asked for by send().
 * @param {string} path @param {File} file @param {string} token @param {(sent: number) => void} onSent @returns {Promise<any>}
 */
function sendPicture(path, file, token, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', path);
    request.setRequestHeader('X-CSRF-Token', token);
    request.setRequestHeader('Content-Type', file.type || 'application/octet-stream');
    request.responseType = 'json';
    request.upload.onprogress = event => onSent(event.loaded);
    request.onerror = () => reject(new Problem(0, {title: 'Not reached', detail: 'the server does not answer; try it again'}));
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else if (request.status === 401 || request.status === 403) send('POST', path, file).then(resolve, reject);
      else reject(new Problem(request.status, request.response, request.getResponseHeader('X-Request-Id') ?? ''));
    };
    request.send(file);
  });
}
