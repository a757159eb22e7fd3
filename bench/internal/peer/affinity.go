//go:build linux

package peer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Cores chooses a core for the servers and another for the generator, of those this process may run on. It
// prefers a pair that isn't two hardware threads of one core, and the highest number for the server, since
// interrupts tend to land on the lowest. With a single core both are the same and shared is true: the figures
// then say little.
func Cores() (server, generator int, shared bool, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, 0, false, fmt.Errorf("affinity: %w", err)
	}
	var allowed []int
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			allowed = append(allowed, cpu)
		}
	}
	if len(allowed) == 0 {
		return 0, 0, false, errors.New("affinity: no core allowed")
	}
	server, generator = allowed[len(allowed)-1], allowed[0]
	for _, cpu := range allowed {
		if cpu != server && siblings(cpu) != siblings(server) {
			return server, cpu, false, nil
		}
	}
	return server, generator, server == generator, nil
}

// siblings names the physical core that cpu is a thread of; where that is unknown each is its own.
func siblings(cpu int) string {
	b, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
	if err != nil {
		return strconv.Itoa(cpu)
	}
	return strings.TrimSpace(string(b))
}

// PinProcess moves every thread of this process, and so every later one, to core.
func PinProcess(core int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := pin(tid, core); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// onCore runs start on a thread of its own that is pinned to core: a child started there inherits it.
func onCore(core int, start func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the affinity with it.
		runtime.LockOSThread()
		if err := pin(0, core); err != nil {
			done <- err
			return
		}
		done <- start()
	}()
	return <-done
}

func pin(tid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(tid, &set); err != nil {
		return fmt.Errorf("affinity of thread %d: %w", tid, err)
	}
	return nil
}
