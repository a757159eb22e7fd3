package app

import (
	"bytes"
	"io"
	stdlog "log"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"holdfast/internal/config"
)

// newLogger makes the process's logger. Its level is zerolog's global one, which setLogLevel changes.
func newLogger(c config.Log, w io.Writer) zerolog.Logger {
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.DurationFieldInteger = true // in milliseconds
	setLogLevel(c.Level)
	if c.Format == "console" || (c.Format == "auto" && terminal(w)) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !terminal(w) || os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).With().Timestamp().Logger()
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// setLogLevel takes a level that the configuration has checked.
func setLogLevel(level string) {
	if parsed, err := zerolog.ParseLevel(level); err == nil {
		zerolog.SetGlobalLevel(parsed)
	}
}

// httpErrors takes net/http's own log lines. Nearly all of them tell of what a client did, such as a
// failed TLS handshake, of which there can be any number; only a failing Accept is the server's trouble.
func httpErrors(logger zerolog.Logger) *stdlog.Logger {
	return stdlog.New(httpErrorWriter{logger}, "", 0)
}

type httpErrorWriter struct{ logger zerolog.Logger }

func (w httpErrorWriter) Write(line []byte) (int, error) {
	level := zerolog.DebugLevel
	if bytes.Contains(line, []byte("Accept error")) {
		level = zerolog.WarnLevel
	}
	w.logger.WithLevel(level).Str("error", string(bytes.TrimSpace(line))).Msg("http server")
	return len(line), nil
}
