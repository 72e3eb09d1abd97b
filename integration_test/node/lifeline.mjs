// A test server must not outlive the test that started it, not even when the
// test process is killed: the kernel then closes our stdin, and that ends us.

// endWithParent exits the process when stdin closes or a signal asks for it.
export function endWithParent() {
  const end = () => process.exit(0);
  process.stdin.on('end', end).on('close', end).on('error', end).resume();
  process.on('SIGTERM', end).on('SIGINT', end);
}
