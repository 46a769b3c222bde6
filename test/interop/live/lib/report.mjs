/** One line per check, and one alone at the end that says how it went. */

export class Report {
  #passed = 0;
  #failed = 0;
  #skipped = 0;

  get failed() {
    return this.#failed > 0;
  }

  pass(name) {
    this.#passed += 1;
    console.log(`PASS ${name}`);
  }

  /** Of a detail with several lines the first one stays on the line of the check. */
  fail(name, detail) {
    this.#failed += 1;
    const [first, ...rest] = String(detail).trimEnd().split('\n');
    console.log([`FAIL ${name}: ${first}`, ...rest.map((line) => `     ${line}`)].join('\n'));
  }

  skip(name, reason) {
    this.#skipped += 1;
    console.log(`SKIP ${name}: ${reason}`);
  }

  /** Passes when the function returns, fails when it throws. Says which of the two it was. */
  check(name, assertion) {
    try {
      assertion();
    } catch (error) {
      this.fail(name, error.message);
      return false;
    }
    this.pass(name);
    return true;
  }

  close() {
    console.log(`${this.#passed} passed, ${this.#failed} failed, ${this.#skipped} skipped`);
  }
}
