package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"holdfast/eventlog/pebblelog"
	"holdfast/internal/config"
)

// Exit codes of the binary. A second signal during the shutdown exits with 128 and the signal's number.
const (
	ExitOK     = 0
	ExitFailed = 1 // could not start, or could not go on; healthcheck: not healthy
	ExitUsage  = 2 // a mistake in the command line or the configuration
	ExitCutOff = 3 // shut down, but shutdown.timeout passed before everything was done
)

// defaultFile is read without --config, if it is there.
const defaultFile = "config.yaml"

type commandLine struct {
	Serve         serveCommand         `cmd:"" default:"withargs" help:"Run the server (the default)."`
	CheckConfig   checkConfigCommand   `cmd:"" help:"Check the configuration and say everything that is wrong with it."`
	DefaultConfig defaultConfigCommand `cmd:"" help:"Print a configuration with every key at its default."`
	Healthcheck   healthcheckCommand   `cmd:"" help:"Ask a running server whether it is alive, for container health checks."`
	Repair        repairCommand        `cmd:"" help:"Set a damaged event store aside, keep what can be read of it, and start a new one."`
	Version       versionCommand       `cmd:"" help:"Print the version."`
}

// configFlag is what the commands that read the configuration have in common.
type configFlag struct {
	Config string `short:"c" env:"HOLDFAST_CONFIG" placeholder:"FILE" help:"Configuration file; without it config.yaml in the working directory, if it is there."`
}

// file is the name to load, empty where there is none.
func (f configFlag) file() string {
	if f.Config != "" {
		return f.Config
	}
	if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return defaultFile
}

func (f configFlag) load() (*config.Config, error) {
	c, err := config.Load(f.file(), os.Environ())
	if err != nil {
		return nil, &configError{err}
	}
	return c, nil
}

// configError is a mistake of whoever wrote the configuration.
type configError struct{ error }

func (e *configError) Unwrap() error { return e.error }

// terminalOutput is where commands print.
type terminalOutput struct{ out, err io.Writer }

// Main runs the command that args, without the program's name, ask for, and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	var line commandLine
	code := -1
	parser, err := kong.New(&line,
		kong.Name("holdfast"),
		kong.Description("A Socket.IO server that keeps events for clients that are away."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }),
	)
	if err != nil {
		fmt.Fprintf(stderr, "holdfast: %v\n", err)
		return ExitFailed
	}
	command, err := parser.Parse(args)
	if code >= 0 { // --help has printed what was asked for
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "holdfast: %v\nholdfast --help lists the commands\n", err)
		return ExitUsage
	}
	err = command.Run(&terminalOutput{out: stdout, err: stderr})
	if err != nil {
		fmt.Fprintf(stderr, "holdfast: %v\n", err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var inConfig *configError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &inConfig):
		return ExitUsage
	case errors.Is(err, ErrCutOff):
		return ExitCutOff
	default:
		return ExitFailed
	}
}

type checkConfigCommand struct{ configFlag }

// Run also reads what the configuration points to.
func (c *checkConfigCommand) Run(to *terminalOutput) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	if loaded.TLS.Enabled() {
		if _, err := loadCertificate(loaded.TLS.Cert, loaded.TLS.Key, zerolog.Nop()); err != nil {
			return &configError{err}
		}
	}
	name := c.file()
	if name == "" {
		name = "no file, all defaults"
	}
	fmt.Fprintf(to.out, "%s: the configuration is good\n", name)
	return nil
}

type defaultConfigCommand struct{}

// Run prints the file that is shipped as config.yaml.
func (defaultConfigCommand) Run(to *terminalOutput) error {
	_, err := to.out.Write(config.Default().YAML())
	return err
}

type repairCommand struct{ configFlag }

// Run repairs the store of the configuration's data_dir.
func (c *repairCommand) Run(to *terminalOutput) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	done, err := pebblelog.Repair(storeDir(loaded), pebblelog.Options{Logger: newLogger(loaded.Log, to.err)})
	if err != nil {
		return err
	}
	fmt.Fprintf(to.out, "the old files are kept in %s\n", done.Kept)
	fmt.Fprintf(to.out, "the new store has %d logs with %d events; %d events could not be read\n", done.Logs, done.Events, done.Lost)
	if done.Problems != nil {
		fmt.Fprintf(to.out, "found on the way: %v\n", done.Problems)
	}
	return nil
}

type versionCommand struct{}

// Run prints one line.
func (versionCommand) Run(to *terminalOutput) error {
	_, err := fmt.Fprintln(to.out, versionLine())
	return err
}

type serveCommand struct{ configFlag }

// Run serves until a signal ends it.
func (c *serveCommand) Run(to *terminalOutput) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	logger := newLogger(loaded.Log, to.err)
	logger.Info().Str("file", c.file()).Msg("configuration read")
	a, err := New(loaded, logger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ended := make(chan struct{})
	defer close(ended)
	go c.watch(signals, ended, cancel, a)
	return a.Run(ctx)
}

// watch turns signals into what they ask for, until ended is closed.
func (c *serveCommand) watch(signals <-chan os.Signal, ended <-chan struct{}, cancel func(), a *App) {
	stopping := false
	for {
		var s os.Signal
		select {
		case <-ended:
			return
		case s = <-signals:
		}
		switch {
		case s == syscall.SIGHUP && !stopping:
			c.reload(a)
		case s == syscall.SIGHUP:
		case !stopping:
			stopping = true
			cancel()
		default:
			a.logger.Warn().Str("signal", s.String()).Msg("second signal: ending at once")
			number, _ := s.(syscall.Signal)
			os.Exit(128 + int(number))
		}
	}
}

// reloadTimeout bounds how long a reload waits for the server, which takes it as soon as it listens and
// never once it shuts down.
const reloadTimeout = 5 * time.Second

func (c *serveCommand) reload(a *App) {
	next, err := c.load()
	if err != nil {
		a.logger.Error().Err(err).Msg("the configuration has mistakes and is not taken over")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	a.Reload(ctx, next)
}
