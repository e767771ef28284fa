// Tables of rows: sorted by their head's buttons, continued by "Show more", two-line rows on a phone.

import {h, fill} from './dom.js';
import {button} from './controls.js';
import {say} from './toast.js';

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} title
 * @property {(row: any) => any} show children of the cell
 * @property {(row: any) => any} [sort] a number or text; the column can be sorted by it
 * @property {boolean} [number] aligned at its end
 * @property {string} [class] `opt` leaves it out on a phone
 */

/**
 * A table. Returns its element, with `rows(rows)` to show others.
 * @param {{caption: string, columns: Column[], rows: any[], sort?: string, descending?: boolean, foot?: any[],
 *   choose?: (sort: string, descending: boolean) => void, rowAttributes?: (row: any) => any}} options
 *   `choose` is told of the reader's order; with it the caller sorts, without it the table does
 */
export function table({caption, columns, rows, sort, descending = true, foot, choose, rowAttributes = () => ({})}) {
  const body = h('tbody'), heads = columns.map(column => h('th', {scope: 'col', class: cellClass(column)}, column.sort ? h('button', {type: 'button', onclick: () => order(column)}, column.title) : column.title));
  const draw = () => {
    const by = choose ? undefined : columns.find(column => column.name === sort)?.sort;
    const sorted = by ? [...rows].sort((a, b) => compare(by(a), by(b)) * (descending ? -1 : 1)) : rows;
    fill(body, sorted.map(row => h('tr', rowAttributes(row), columns.map((column, i) => h(i ? 'td' : 'th', {class: cellClass(column), scope: i ? null : 'row', 'data-title': column.title}, column.show(row))))));
    columns.forEach((column, i) => {
      if (column.name === sort) heads[i].setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      else heads[i].removeAttribute('aria-sort');
    });
  };
  /** @param {Column} column */
  function order(column) {
    descending = sort === column.name ? !descending : Boolean(column.number);
    sort = column.name;
    choose?.(sort, descending);
    draw();
    say(`Sorted by ${column.title}, ${descending ? 'highest' : 'lowest'} first`);
  }
  draw();
  const element = h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption},
    h('table', {class: 'list'}, h('caption', {class: 'vh'}, caption), h('thead', {}, h('tr', {}, heads)), body,
      foot && h('tfoot', {}, h('tr', {}, foot.map((cell, i) => h(i ? 'td' : 'th', {class: cellClass(columns[i]), scope: i ? null : 'row'}, cell))))));
  return Object.assign(element, {rows(/** @type {any[]} */ others) { rows = others; draw(); }});
}

/** @param {Column} column */
const cellClass = column => `${column.number ? 'num ' : ''}${column.class ?? ''}`.trim() || null;

/** @param {any} a @param {any} b */
function compare(a, b) {
  if (a == null || b == null) return (a == null ? 0 : 1) - (b == null ? 0 : 1);
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
}

/**
 * A list that is read page by page: `read(cursor)` returns `{items, next_cursor}`, `draw(items)` shows all read so far.
 * @param {(cursor: string | null) => Promise<any>} read @param {(items: any[]) => void} draw
 */
export function paged(read, draw) {
  /** @type {any[]} */
  let items = [];
  /** @type {string | null} */
  let cursor = null;
  const more = button('Show more', {class: 'more show', hidden: true, onclick: () => next()});
  async function next() {
    more.disabled = true;
    try {
      const page = await read(cursor);
      const seen = new Set(items.map(item => item.id));
      items = [...items, ...page.items.filter((/** @type {any} */ item) => !seen.has(item.id))];
      cursor = page.next_cursor;
      draw(items);
      more.hidden = !cursor;
    } finally {
      more.disabled = false;
    }
  }
  return {more, next, async restart() { items = []; cursor = null; await next(); }};
}
