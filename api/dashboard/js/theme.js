// The theme: a cookie, so that the shell comes in it. Without one it is as the reader's system has it.

const YEAR_S = 31_536_000;

/** Return `light`, `dark` or `system`. */
export const theme = () => document.documentElement.dataset.theme ?? 'system';

/** @param {string} name `light`, `dark` or `system` */
export function chooseTheme(name) {
  if (name === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  document.cookie = `waypost_theme=${name}; Path=/; Max-Age=${name === 'system' ? 0 : YEAR_S}; SameSite=Lax`;
}
