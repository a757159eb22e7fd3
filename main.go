// Command holdfast is a Socket.IO server that keeps events for clients that are away.
package main

import (
	"os"

	"holdfast/internal/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr))
}
