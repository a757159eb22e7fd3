//go:build !linux

// Command bench needs Linux: it pins processes to cores and reads their use from the kernel.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: runs on Linux only")
	os.Exit(1)
}
