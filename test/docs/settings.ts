/** Writes the table of settings into the README, or with --check says whether it is the one of the code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { settingLines } from '../../controller/settings.ts';

const file = new URL('../../README.md', import.meta.url).pathname;
const begin = '<!-- settings: begin, written by make generate -->';
const end = '<!-- settings: end -->';

const rows = settingLines.map(({ env, default: value, description }) => {
  const shown = value === undefined ? 'must be set' : value === '' ? '(empty)' : `\`${value}\``;
  return `| \`${env}\` | ${shown} | ${description} |`;
});
const table = `${begin}\n\n| Variable | Default | Meaning |\n|---|---|---|\n${rows.join('\n')}\n\n${end}`;

const text = readFileSync(file, 'utf8');
const from = text.indexOf(begin);
const to = text.indexOf(end);
if (from < 0 || to < from) throw new Error(`README.md lacks the lines ${begin} and ${end}`);
const next = text.slice(0, from) + table + text.slice(to + end.length);
if (!process.argv.includes('--check')) writeFileSync(file, next);
else if (next !== text) {
  process.stderr.write(
    'the table of settings in README.md is not that of controller/settings.ts; run: make generate\n',
  );
  process.exit(1);
}
