//go:build linux

package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Server is a running peer.
type Server struct {
	Port      int
	PprofAddr string // "" unless asked for

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	log    string
	data   string
}

// StartOptions say how a peer is started.
type StartOptions struct {
	Root     string // the repository
	Core     int    // the core it is pinned to; -1: none
	Recovery bool
	Pprof    bool   // ask for an address with profiles (only Holdfast has one)
	Scratch  string // a folder for its log and data
}

// ErrServerDied means that a server process ended by itself.
var ErrServerDied = errors.New("the server process died")

// Start runs the peer and returns once it accepts connections. Its output goes to a file in o.Scratch.
func (p Peer) Start(ctx context.Context, o StartOptions) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Port: port, exited: make(chan struct{}), log: filepath.Join(o.Scratch, p.Name+".log")}
	args := []string{"--host", "127.0.0.1", "--port", strconv.Itoa(port)}
	if o.Recovery {
		if s.data, err = os.MkdirTemp(o.Scratch, p.Name+"-data-"); err != nil {
			return nil, fmt.Errorf("data folder: %w", err)
		}
		args = append(args, "--recovery", "--data", s.data)
	}
	if o.Pprof {
		pprofPort, err := freePort()
		if err != nil {
			return nil, err
		}
		s.PprofAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(pprofPort))
		args = append(args, "--pprof", s.PprofAddr)
	}
	s.cmd = p.command(ctx, o.Root, args...)
	out, err := os.Create(s.log)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", p.Name, err)
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	start := s.cmd.Start
	if o.Core >= 0 {
		start = func() error { return onCore(o.Core, s.cmd.Start) }
	}
	if err := start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	if err := s.await(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	return s, nil
}

// await waits until the server answers a TCP connection.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)))
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.exited:
			return s.Died()
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// CPU is the processor time that the server has used so far.
func (s *Server) CPU() (time.Duration, error) {
	d, err := cpuTime(s.cmd.Process.Pid)
	if err != nil {
		return 0, errors.Join(s.Died(), err)
	}
	return d, nil
}

// ResidentKB is the server's resident set in units of 1,024 bytes.
func (s *Server) ResidentKB() (int64, error) {
	kb, err := residentKB(s.cmd.Process.Pid)
	if err != nil {
		return 0, errors.Join(s.Died(), err)
	}
	return kb, nil
}

// Died returns an error with the last line of the server's output when its process has ended, else nil.
func (s *Server) Died() error {
	select {
	case <-s.exited:
	default:
		return nil
	}
	out, err := os.ReadFile(s.log)
	if err != nil {
		return fmt.Errorf("%w (%v)", ErrServerDied, s.cmd.ProcessState)
	}
	return fmt.Errorf("%w (%v): %s", ErrServerDied, s.cmd.ProcessState, lastLine(out))
}

// Stop ends the server at once and removes its data.
func (s *Server) Stop() {
	s.cmd.Process.Kill()
	<-s.exited
	if s.data != "" {
		os.RemoveAll(s.data)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
