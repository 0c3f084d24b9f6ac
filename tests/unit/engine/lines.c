// Built by: zig cc -target wasm32-freestanding -nostdlib -g -O0 -fno-sanitize=undefined -fdebug-compilation-dir=. -Wl,--no-entry
// lines.c -o lines.wasm (the tests name lines of this file)
static int fail(int x) {
  if (x > 5)
    __builtin_trap();
  return x;
}

__attribute__((export_name("run"))) int run(int x) {
  int sum = 0;
  for (int i = 0; i < x; i++)
    sum += i;
  return fail(sum);
}
