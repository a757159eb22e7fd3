package pebblelog

const crashDirVar = "HOLDFAST_TEST_CRASH_DIR"

func crashChild(string) {}
