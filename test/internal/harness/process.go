// Package harness starts servers as processes of their own for whole-server tests, and talks to them
// with clients that do exactly what they are told.
package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// TestServer is a running test server (test/testserver).
type TestServer struct {
	Addr string // host:port

	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	stderr bytes.Buffer
}

// StartTestServer starts the test server with flags, and stops it when the test ends: the test fails when
// it reported a data race, panicked, or did not end in good order. HOLDFAST_TESTSERVER names the binary; without it
// one is built.
func StartTestServer(tb testing.TB, flags ...string) *TestServer {
	tb.Helper()
	s := &TestServer{exited: make(chan struct{})}
	s.cmd = exec.Command(testServerBinary(tb), append([]string{"-listen=127.0.0.1:0"}, flags...)...)
	s.cmd.Stderr = s
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
				listening <- addr
			}
		}
		_ = s.cmd.Wait() // its verdict is in ProcessState
		close(s.exited)
	}()
	select {
	case s.Addr = <-listening:
	case <-s.exited:
		tb.Fatalf("the test server ended: %v\n%s", s.cmd.ProcessState, s.log())
	case <-time.After(startTimeout):
		_ = s.cmd.Process.Kill()
		tb.Fatalf("the test server does not listen\n%s", s.log())
	}
	tb.Cleanup(func() {
		if err := s.stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func testServerBinary(tb testing.TB) string {
	if path := os.Getenv("HOLDFAST_TESTSERVER"); path != "" {
		return path
	}
	path := filepath.Join(tb.TempDir(), "testserver")
	if out, err := exec.Command("go", "build", "-o", path, "holdfast/test/testserver").CombinedOutput(); err != nil {
		tb.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// Write takes what the server writes to its standard error.
func (s *TestServer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(p)
}

func (s *TestServer) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

func (s *TestServer) stop() error {
	select {
	case <-s.exited:
		return fmt.Errorf("the test server ended by itself: %v\n%s", s.cmd.ProcessState, s.log())
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it prints what its goroutines wait for
		<-s.exited
		return fmt.Errorf("the test server did not end\n%s", s.log())
	}
	var errs []error
	if !s.cmd.ProcessState.Success() {
		errs = append(errs, fmt.Errorf("the test server: %v\n%s", s.cmd.ProcessState, s.log()))
	}
	if strings.Contains(s.log(), "WARNING: DATA RACE") {
		errs = append(errs, fmt.Errorf("data race in the test server\n%s", s.log()))
	}
	return errors.Join(errs...)
}
