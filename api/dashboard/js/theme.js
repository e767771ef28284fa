// The theme, before anything is drawn: `theme` in localStorage is light, dark or absent (as the system has it).
let chosen = null;
try { chosen = localStorage.getItem('theme'); } catch { /* storage is switched off: as the system has it */ }
const dark = matchMedia('(prefers-color-scheme: dark)').matches;
document.documentElement.dataset.theme = chosen === 'light' || chosen === 'dark' ? chosen : dark ? 'dark' : 'light';
