// Forms: a field has its label, its help and its error; a problem document's errors find their fields by name.

import {h, icon, newId} from './dom.js';
import {button} from './controls.js';
import {plural} from './format.js';

/**
 * A control with its label. Its name is what `errors[].field` of a problem calls it.
 * @param {string} label @param {HTMLElement} control with a `name`
 * @param {{help?: any, max?: number, class?: string}} [options] `max`: characters, counted beside it
 */
export function field(label, control, {help, max, class: more = ''} = {}) {
  const input = /** @type {any} */ (control.matches('input, select, textarea') ? control : control.querySelector('input, select, textarea'));
  input.id ||= newId('field');
  const helpText = h('small', {id: `${input.id}-help`}, help), error = h('small', {id: `${input.id}-error`, class: 'bad', hidden: true});
  const count = max && h('small', {class: 'count', 'aria-hidden': 'true'});
  const counted = () => { if (count) count.textContent = input.value.length > max * 0.7 ? `${input.value.length} of ${max}` : ''; };
  input.setAttribute('aria-describedby', `${error.id}${help ? ` ${helpText.id}` : ''}`);
  input.addEventListener('input', () => { mark(box, ''); counted(); });
  const box = h('div', {class: `field ${more}`, 'data-name': input.name}, h('label', {for: input.id}, label), control, error, help && helpText, count);
  counted();
  return box;
}

/** Show or clear the error of a field. @param {any} box @param {string} reason */
export function mark(box, reason) {
  const input = box.querySelector('input, select, textarea'), error = box.querySelector('small.bad');
  if (reason) input.setAttribute('aria-invalid', 'true');
  else input.removeAttribute('aria-invalid');
  error.textContent = reason ? reason[0].toUpperCase() + reason.slice(1) : '';
  error.hidden = !reason;
}

/** @param {any} problem @param {string} [title] */
export function alert(problem, title = problem.title) {
  return h('div', {class: 'alert', role: 'alert'}, icon('triangle-alert'), h('div', {}, h('b', {}, title),
    problem.detail && h('small', {}, problem.detail[0].toUpperCase() + problem.detail.slice(1)),
    problem.requestId && problem.status >= 500 && h('small', {}, `Request ${problem.requestId}`)));
}

/**
 * A form. `send(values)` is called with the values by name once they are valid in themselves; while it runs, the form is
 * busy. A problem it raises is shown: at its fields, and above the button what no field has.
 * @param {any[]} fields @param {{action: string, send: (values: Record<string, any>) => Promise<any>, foot?: any, wide?: boolean, sayProblem?: (problem: any) => {title: string, detail: string} | null}} options
 */
export function form(fields, {action, send, foot, wide, sayProblem = () => null}) {
  const place = h('div', {class: 'said'}), act = button(action, {type: 'submit', class: wide ? 'main wide' : 'main'});
  let busy = false;
  const element = h('form', {class: 'form', novalidate: true, onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy || !valid(element)) return;
    busy = true;
    act.setAttribute('aria-busy', 'true');
    place.replaceChildren();
    try {
      await send(valuesOf(element));
    } catch (problem) {
      showProblem(element, place, problem, sayProblem(problem));
      if (/** @type {any} */ (problem).retryAfterS) await wait(act, action, /** @type {any} */ (problem).retryAfterS);
    } finally {
      busy = false;
      act.removeAttribute('aria-busy');
    }
  }}, fields, place, h('div', {class: 'rowb'}, act, foot));
  return element;
}

/** @param {any} element @returns {Record<string, any>} */
export function valuesOf(element) {
  /** @type {Record<string, any>} */
  const values = {};
  for (const input of element.elements) {
    if (!input.name || input.disabled || (input.type === 'radio' && !input.checked)) continue;
    values[input.name] = input.type === 'checkbox' ? input.checked : input.type === 'number' ? (input.value === '' ? null : Number(input.value)) : input.value;
  }
  return values;
}

/** Mark what is missing or malformed, and put the focus there. @param {any} element */
export function valid(element) {
  const bad = [...element.elements].filter(input => input.willValidate && !input.validity.valid);
  for (const input of bad) {
    const box = input.closest('.field'), needed = input.validity.valueMissing;
    if (box) mark(box, needed ? 'This is needed' : input.validity.tooShort ? `At least ${plural(input.minLength, 'character')}` : input.validationMessage);
  }
  bad[0]?.focus();
  return bad.length === 0;
}

/** @param {any} element @param {any} place @param {any} problem @param {any} words */
function showProblem(element, place, problem, words) {
  if (!('status' in problem)) throw problem;
  const left = [];
  let first = null;
  for (const {field: name, reason} of problem.errors ?? []) {
    const box = element.querySelector(`[data-name="${CSS.escape(name)}"]`) ?? element.querySelector(`[data-name="${CSS.escape(name.split(/[.[]/)[0])}"]`);
    if (box) {
      mark(box, reason);
      first ??= box.querySelector('input, select, textarea');
    } else left.push(`${name}: ${reason}`);
  }
  if (words || left.length || !first) {
    const said = words ?? {title: problem.title, detail: left.join('; ') || problem.detail};
    place.replaceChildren(alert({...said, status: problem.status, requestId: problem.requestId}));
  }
  first?.focus();
}

/** Count a wait down in the button. @param {any} act @param {string} text @param {number} s */
async function wait(act, text, s) {
  act.disabled = true;
  for (let left = Math.ceil(s); left > 0 && act.isConnected; left--) {
    act.replaceChildren(`Again in ${left} s`);
    await new Promise(resolve => setTimeout(resolve, 1000));
  }
  act.replaceChildren(text);
  act.disabled = false;
}

/** A password's input with its eye. @param {any} attributes */
export function password(attributes) {
  const input = h('input', {type: 'password', ...attributes});
  const eye = button('', {icon: 'eye', class: 'sq', 'aria-label': 'Show the password', 'aria-pressed': 'false', onclick: () => {
    const shown = input.type === 'password';
    input.type = shown ? 'text' : 'password';
    eye.setAttribute('aria-pressed', String(shown));
  }});
  return h('span', {class: 'peek'}, input, eye);
}
