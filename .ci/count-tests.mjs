/**
 * Prints `N passed, N failed[, N skipped]` from vitest's JSON report; exit code 1 when a test
 * failed, a test file could not be loaded, or nothing ran.
 */
import { existsSync, readFileSync } from 'node:fs';

const [, , file] = process.argv;
const report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { testResults: [] };

const counts = { passed: 0, failed: 0, skipped: 0 };
for (const { status, assertionResults } of report.testResults) {
  const failedBefore = counts.failed;
  for (const test of assertionResults) {
    if (test.status === 'passed' || test.status === 'failed') counts[test.status] += 1;
    else counts.skipped += 1;
  }
  // A file that failed as a whole: it could not be loaded, or a hook threw.
  if (status === 'failed' && counts.failed === failedBefore) counts.failed += 1;
}

const nothingRan = counts.passed + counts.failed === 0;
if (nothingRan) console.log('No test ran.');
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
process.exitCode = nothingRan || counts.failed > 0 ? 1 : 0;
