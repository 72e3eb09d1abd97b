//go:build clients && unix

package integration_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// clientsDir holds the clients that npm installs.
const clientsDir = "clients"

// browserScript is the browser of clients, whatever they call it. No user is back
// sooner than in two seconds: mcp-remote opens the browser before it listens.
const browserScript = "#!/bin/sh\nsleep 2\nBROWSER_USER=demo exec node '%s' \"$@\"\n"

// environment returns the environment of the client: nothing of ours, no way out
// of loopback, a user with a browser.
func (s *seat) environment() []string {
	s.t.Helper()
	bin := filepath.Join(s.home, "bin")
	if _, err := os.Stat(bin); err != nil {
		if err := os.MkdirAll(bin, 0o700); err != nil {
			s.t.Fatal(err)
		}
		script, err := filepath.Abs(filepath.Join(nodeDir, "browser.mjs"))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, name := range []string{"xdg-open", "test-browser"} {
			if err := os.WriteFile(filepath.Join(bin, name), fmt.Appendf(nil, browserScript, script), 0o700); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	installed, err := filepath.Abs(filepath.Join(clientsDir, "node_modules", ".bin"))
	if err != nil {
		s.t.Fatal(err)
	}
	dead := "http://127.0.0.1:9" // discard: nobody listens
	return []string{
		"PATH=" + bin + ":" + installed + ":" + os.Getenv("PATH"),
		"HOME=" + s.home, "TMPDIR=" + s.home, "TERM=dumb", "LANG=C.UTF-8", "NO_COLOR=1",
		"XDG_CONFIG_HOME=" + filepath.Join(s.home, ".config"), "XDG_DATA_HOME=" + filepath.Join(s.home, ".local", "share"),
		"XDG_STATE_HOME=" + filepath.Join(s.home, ".local", "state"), "XDG_CACHE_HOME=" + filepath.Join(s.home, ".cache"),
		"BROWSER=test-browser", "NODE_EXTRA_CA_CERTS=" + s.CA, "SSL_CERT_FILE=" + s.CA, "NODE_NO_WARNINGS=1",
		"HTTP_PROXY=" + dead, "HTTPS_PROXY=" + dead, "http_proxy=" + dead, "https_proxy=" + dead,
		"NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1",
		"DO_NOT_TRACK=1",
	}
}

// clientTime is how long a client may take for one thing. A busy machine takes
// some seconds to start one.
const clientTime = 90 * time.Second

// command returns a command of the client, in an empty directory of its own, whose
// processes all end with it.
func (s *seat) command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	s.t.Helper()
	work := filepath.Join(s.home, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		s.t.Fatal(err)
	}
	environment := append(s.environment(), env...)
	if !strings.Contains(name, "/") {
		for _, dir := range strings.Split(strings.TrimPrefix(environment[0], "PATH="), ":") {
			if full := filepath.Join(dir, name); isProgram(full) {
				name = full
				break
			}
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = work, environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func isProgram(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// run runs the client and returns what it printed. That it fails isn't an error
// here: what it did is seen at the server.
func (s *seat) run(env []string, name string, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), clientTime)
	defer cancel()
	return s.finish(s.command(ctx, env, name, args...))
}

// finish runs the command to its end.
func (s *seat) finish(cmd *exec.Cmd) string {
	var out logBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	fmt.Fprintf(s.printed, "$ %s\n", strings.Join(append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...), " "))
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	}
	fmt.Fprintf(s.printed, "%s\n", out.String())
	if err != nil {
		fmt.Fprintf(s.printed, "(%v)\n", err)
	}
	return out.String()
}

// A reply is what a user types when a client says something, blanks apart.
type reply struct{ when, typed string }

// terminal runs the client in a terminal, for those that do more there, until it
// ends, or p is over.
func (s *seat) terminal(env []string, p *play, answers []reply, name string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), clientTime)
	defer cancel()
	quoted := []string{"stty rows 50 cols 200; exec"}
	for _, word := range append([]string{name}, args...) {
		quoted = append(quoted, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
	}
	cmd := s.command(ctx, append(env, "TERM=xterm"), "script", "-qefc", strings.Join(quoted, " "), "/dev/null")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer stdin.Close()
	out := new(logBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	var over, missed <-chan struct{}
	if p != nil {
		over, missed = p.over, p.missed
	}
	for running := true; running; {
		if len(answers) > 0 && strings.Contains(shown(out), answers[0].when) {
			// It isn't ready for a key as soon as it has asked.
			typed := answers[0].typed
			time.AfterFunc(time.Second, func() { _, _ = io.WriteString(stdin, typed) })
			answers = answers[1:]
		}
		select {
		case <-ended:
			running = false
		case <-missed:
			time.AfterFunc(2*time.Second, func() { _, _ = io.WriteString(stdin, "go on\r") })
		case <-over:
			// The client gets the time to write down what it has, and to leave.
			_, _ = io.WriteString(stdin, "\x03\x03\x04")
			over = nil
			time.AfterFunc(3*time.Second, cancel)
		case <-time.After(100 * time.Millisecond):
		}
	}
	fmt.Fprintf(s.printed, "$ %s\n%s\n", strings.Join(args, " "), escapes.ReplaceAllString(out.String(), ""))
}

// shown returns what a terminal has shown, without blanks: programs place their
// words by moving about.
func shown(out *logBuffer) string {
	return strings.ReplaceAll(escapes.ReplaceAllString(out.String(), ""), " ", "")
}

// escapes are what makes a terminal colorful.
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?>]*[a-zA-Z]|\][^\x07\x1b]*(\x07|\x1b\\))|\r`)
