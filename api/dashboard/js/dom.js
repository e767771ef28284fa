// Elements made of text: what somebody typed is only ever a text node or a checked attribute, never markup.

const SVG = 'http://www.w3.org/2000/svg';
// Attributes that lead somewhere, and where they may lead.
const LEADING = new Set(['href', 'src', 'action', 'formaction', 'poster']);
const SAFE = /^(?:[/#?.]|https?:|mailto:|tel:|data:image\/(?:png|jpeg|webp|avif|svg\+xml)[;,]|[^:]*$)/i;
const REFUSED = new Set(['style', 'srcdoc', 'innerhtml', 'outerhtml']);

/** @type {WeakMap<Element, () => string>} */
const asked = new WeakMap();
for (const name of ['pointerdown', 'focusin', 'click']) {
  addEventListener(name, event => {
    const link = /** @type {any} */ (event.target)?.closest?.('a[href]'), hrefOf = link && asked.get(link);
    if (hrefOf) set(link, {href: hrefOf()});
  }, true);
}

/**
 * @typedef {any} Child a node, text or number, a list of these; null and false are left out
 * @typedef {Record<string, any>} Attributes
 */

/**
 * Set attributes: null and false leave one out, true sets it empty; `on…` adds a listener; `value`, `checked`,
 * `selected`, `indeterminate` and `muted` are properties. A URL of another scheme than http(s), mailto, tel or a
 * picture's data is left out. A function as `href` is asked again when the link is used: what it adds to may be newer.
 * @param {Element} element @param {Attributes} attributes
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const low = name.toLowerCase();
    if (low.startsWith('on')) {
      if (value) element.addEventListener(low.slice(2), value);
    } else if (low === 'href' && typeof value === 'function') {
      asked.set(element, value);
      set(element, {href: value()});
    } else if (REFUSED.has(low)) {
      throw new TypeError(`the attribute ${name} is not allowed here`);
    } else if (['value', 'checked', 'selected', 'indeterminate'].includes(low)) {
      if (value != null) /** @type {any} */ (element)[low] = value;
      if (low === 'value' && ['LI', 'PROGRESS', 'METER', 'OPTION', 'BUTTON'].includes(element.tagName) && value != null) element.setAttribute('value', String(value));
    } else if (value == null || value === false || (LEADING.has(low) && !SAFE.test(String(value).trim()))) {
      element.removeAttribute(name);
    } else {
      const text = value === true ? '' : String(value);
      if (element.getAttribute(name) !== text) element.setAttribute(name, text);
    }
  }
}

/** @param {Child[]} children @returns {(Node | string)[]} */
const flat = children => /** @type {any[]} */ (children).flat(9).filter(child => child != null && child !== false && child !== '').map(child => (child instanceof Node ? child : String(child)));

/**
 * Return an HTML element.
 * @param {string} name @param {Attributes} [attributes] @param {...Child} children @returns {any}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  element.append(...flat(children));
  set(element, attributes);
  return element;
}

/**
 * Return an SVG element.
 * @param {string} name @param {Attributes} [attributes] @param {...Child} children @returns {any}
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  element.append(...flat(children));
  set(element, attributes);
  return element;
}

const STYLE = document.querySelector('link[rel=stylesheet]')?.getAttribute('href') ?? '';

/** Return the path of an asset of this version. @param {string} name */
export const assetPath = name => STYLE.replace('app.css', name);

/** @type {Map<string, Promise<void>>} */
const styles = new Map();

/** Load a stylesheet beyond the frame's, once; resolves as well if that fails. @param {string} name such as `dialogs` @returns {Promise<void>} */
export function styled(name) {
  const loading = styles.get(name) ?? new Promise(resolve => document.head.append(h('link', {rel: 'stylesheet', href: assetPath(`css/${name}.css`), onload: () => resolve(), onerror: () => resolve()})));
  styles.set(name, loading);
  return loading;
}

/** Wait for a module that shows a dialog, and for what it looks like. @template T @param {Promise<T>} loading @returns {Promise<T>} */
export const withDialogs = async loading => (await Promise.all([loading, styled('dialogs')]))[0];

/** Return an icon of Lucide by its name there; it is decoration, so its button or link needs a label. @param {string} name */
export const icon = name => svg('svg', {class: 'i', viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-width': 1.75, 'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true'}, svg('use', {href: `${document.getElementById(`i-${name}`) ? '' : assetPath('icons.svg')}#i-${name}`}));

/**
 * Replace all children of `element`. The focus stays where it was: at the child of the same kind and place.
 * @param {Element} element @param {...Child} children
 */
export function fill(element, ...children) {
  const active = /** @type {HTMLElement | null} */ (document.activeElement), focused = active && active !== element && element.contains(active);
  const selector = focused ? active.localName : '', place = focused ? [...element.querySelectorAll(selector)].indexOf(active) : -1;
  element.replaceChildren(...flat(children));
  if (place < 0 || active?.isConnected) return;
  /** @type {HTMLElement | undefined} */ ([...element.querySelectorAll(selector)][place])?.focus({preventScroll: true});
}

let pressed = false;
addEventListener('pointerdown', () => { pressed = true; }, true);
for (const name of ['pointerup', 'pointercancel']) addEventListener(name, () => { pressed = false; }, true);
addEventListener('blur', () => { pressed = false; }); // of the window: an element's does not come here

/**
 * Do something that draws anew once no pointer is pressed: a click on what is replaced meanwhile would be lost.
 * @param {() => void} act
 */
export function whenFree(act) {
  if (!pressed) return act();
  addEventListener('pointerup', () => setTimeout(act), {once: true, capture: true});
}

/**
 * Show one child for each item, and keep the element (focus, selection, animation) of an item that stays.
 * `make(item)` returns an element; `update(element, item)` brings one up to date.
 * @template Item
 * @param {Element} parent @param {Item[]} items @param {(item: Item) => string} keyOf
 * @param {(item: Item) => Element} make @param {(element: any, item: Item) => void} [update]
 */
export function keyed(parent, items, keyOf, make, update = () => {}) {
  const before = new Map([...parent.children].map(child => [/** @type {any} */ (child).key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = before.get(key);
    if (element) {
      before.delete(key);
      update(element, item);
    } else {
      element = make(item);
      /** @type {any} */ (element).key = key;
    }
    if (element === place) place = place?.nextElementSibling ?? null;
    else parent.insertBefore(element, place);
  }
  for (const element of before.values()) element.remove();
}

/** Return text that somebody typed, isolated from the direction of the text around it. @param {string} text */
export const typed = text => h('bdi', {}, text);

let lastId = 0;
/** Return an id that no other element has. @param {string} [prefix] */
export const newId = (prefix = 'x') => `${prefix}-${++lastId}`;
