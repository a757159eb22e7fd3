package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"holdfast/internal/config"
)

func testLogger() zerolog.Logger { return zerolog.Nop() }

func run(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Main(args, &out, &err)
	return code, out.String(), err.String()
}

// write makes a file in a directory of the test's own, which becomes the working directory.
func write(t *testing.T, name, text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaultConfigIsTheShippedFile(t *testing.T) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := run("default-config"); code != ExitOK || out != string(shipped) {
		t.Errorf("exit code %d, %d bytes for %d", code, len(out), len(shipped))
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := run("version"); code != ExitOK || !strings.HasPrefix(out, "holdfast ") {
		t.Errorf("%d %q", code, out)
	}
}

func TestUsage(t *testing.T) {
	if code, out, _ := run("--help"); code != ExitOK || !strings.Contains(out, "check-config") {
		t.Errorf("--help: %d %q", code, out)
	}
	for _, args := range [][]string{{"surf"}, {"serve", "--nope"}, {"version", "x"}} {
		if code, _, errs := run(args...); code != ExitUsage || errs == "" {
			t.Errorf("%v: %d %q", args, code, errs)
		}
	}
}

func TestCheckConfig(t *testing.T) {
	write(t, "good.yaml", "listen: :4000\n")
	if code, out, errs := run("check-config", "--config", "good.yaml"); code != ExitOK || !strings.Contains(out, "good.yaml") {
		t.Errorf("good: %d %q %q", code, out, errs)
	}
	if code, out, _ := run("check-config"); code != ExitOK || !strings.Contains(out, "all defaults") {
		t.Errorf("none: %d %q", code, out)
	}
	if code, _, errs := run("check-config", "--config", "missing.yaml"); code != ExitUsage || !strings.Contains(errs, "missing.yaml") {
		t.Errorf("missing: %d %q", code, errs)
	}

	write(t, "config.yaml", "listn: :4000\nping_timeout: 5\ntls: {cert: a, key: b}\n")
	code, _, errs := run("check-config")
	if code != ExitUsage || !strings.Contains(errs, `config.yaml:1: listn: unknown key, did you mean "listen"?`) || !strings.Contains(errs, "config.yaml:2") {
		t.Errorf("bad: %d %q", code, errs)
	}
	if code, _, _ := run("serve"); code != ExitUsage {
		t.Errorf("serve with it: %d", code)
	}

	write(t, "config.yaml", "tls: {cert: a.pem, key: b.pem}\n")
	if code, _, errs := run("check-config"); code != ExitUsage || !strings.Contains(errs, "a.pem") {
		t.Errorf("missing certificate: %d %q", code, errs)
	}
	t.Setenv("HOLDFAST_CONFIG", "elsewhere.yaml")
	if code, _, errs := run("check-config"); code != ExitUsage || !strings.Contains(errs, "elsewhere.yaml") {
		t.Errorf("file from the environment: %d %q", code, errs)
	}
}

func TestHealthcheck(t *testing.T) {
	r := start(t, nil, nil)
	t.Chdir(t.TempDir())
	if code, out, errs := run("healthcheck", "--url", r.url+"/healthz"); code != ExitOK || out != "healthy\n" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code, _, errs := run("healthcheck", "--url", r.url+"/nowhere"); code != ExitFailed || !strings.Contains(errs, "404") {
		t.Errorf("not found: %d %q", code, errs)
	}
	t.Setenv("HOLDFAST_LISTEN", strings.TrimPrefix(r.url, "http://"))
	if code, _, errs := run("healthcheck"); code != ExitOK {
		t.Errorf("address of the configuration: %d %q", code, errs)
	}
	t.Setenv("HOLDFAST_LISTEN", freeAddress(t))
	if code, _, _ := run("healthcheck"); code != ExitFailed {
		t.Errorf("nobody there: %d", code)
	}
}

func TestHealthcheckOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, "public.example", cert, key)
	r := start(t, func(c *config.Config) { c.TLS = config.TLS{Cert: cert, Key: key} }, nil)
	t.Chdir(dir)
	t.Setenv("HOLDFAST_TLS__CERT", cert)
	t.Setenv("HOLDFAST_TLS__KEY", key)
	t.Setenv("HOLDFAST_LISTEN", strings.TrimPrefix(r.url, "https://"))
	if code, _, errs := run("healthcheck"); code != ExitOK {
		t.Errorf("%d %q", code, errs)
	}
}

// process is the server in a process of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	logs *bufio.Scanner
	url  string
}

// launch starts `holdfast serve` in a new working directory that holds file as config.yaml.
func launch(t *testing.T, file string, environ ...string) *process {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(environ, asBinary+"=1", "HOLDFAST_LISTEN=127.0.0.1:0")...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		timeout.Stop()
		cmd.Process.Kill()
		cmd.Wait()
	})
	p := &process{t: t, cmd: cmd, logs: bufio.NewScanner(stderr)}
	p.url = p.logged("listening")["url"].(string)
	return p
}

// logged waits for a message in the log and returns its line.
func (p *process) logged(message string) map[string]any {
	p.t.Helper()
	for p.logs.Scan() {
		line := map[string]any{}
		if err := json.Unmarshal(p.logs.Bytes(), &line); err != nil {
			p.t.Fatalf("not JSON: %s", p.logs.Text())
		}
		if line["message"] == message {
			return line
		}
	}
	p.t.Fatalf("the log ended without %q", message)
	return nil
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exitCode waits for the end.
func (p *process) exitCode() int {
	for p.logs.Scan() {
		continue
	}
	p.cmd.Wait() // the exit code is what is asked for
	return p.cmd.ProcessState.ExitCode()
}

func TestSignalEndsTheServerInGoodOrder(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := launch(t, "")
		if status, _ := mustAsk(t, "GET", p.url+"/readyz", ""); status != 200 {
			t.Errorf("readyz: %d", status)
		}
		p.signal(s)
		p.logged("shut down")
		if code := p.exitCode(); code != ExitOK {
			t.Errorf("%s: exit code %d", s, code)
		}
	}
}

func TestSecondSignalEndsTheServerAtOnce(t *testing.T) {
	p := launch(t, "shutdown: {delay: 1h}")
	p.signal(syscall.SIGTERM)
	p.logged("shutting down")
	p.signal(syscall.SIGINT)
	if code := p.exitCode(); code != 128+int(syscall.SIGINT) {
		t.Errorf("exit code %d", code)
	}
}

func TestHangupReadsTheFileAgain(t *testing.T) {
	p := launch(t, "")
	file := filepath.Join(p.cmd.Dir, "config.yaml")
	if err := os.WriteFile(file, []byte("pth: /x"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.logged("the configuration has mistakes and is not taken over")
	if err := os.WriteFile(file, []byte("log: {level: debug}\npath: /x"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.logged("configuration read again")
	p.logged("these changes need a restart")
	mustAsk(t, "GET", p.url+"/healthz", "")
	p.logged("http request") // at debug
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestServeFailsOnAPortInUse(t *testing.T) {
	r := start(t, nil, nil)
	t.Chdir(t.TempDir())
	t.Setenv("HOLDFAST_LISTEN", strings.TrimPrefix(r.url, "http://"))
	t.Setenv("HOLDFAST_LOG__FORMAT", "json")
	if code, _, errs := run("serve"); code != ExitFailed || !strings.Contains(errs, "another process has this port") {
		t.Errorf("%d %s", code, errs)
	}
}
