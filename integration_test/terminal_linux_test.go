package integration_test

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// terminal is a terminal that nobody sits at.
type terminal struct {
	// end is what a program has as its stdout.
	end   *os.File
	lines chan string
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	front, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		skip(t, "there are no pseudoterminals: "+err.Error())
	}
	t.Cleanup(func() { front.Close() })
	control := func(request uintptr, value *int32) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, front.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	var number, unlocked int32
	control(syscall.TIOCSPTLCK, &unlocked)
	control(syscall.TIOCGPTN, &number)
	end, err := os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	term := &terminal{end: end, lines: make(chan string, 100)}
	go func() {
		defer close(term.lines)
		for lines := bufio.NewScanner(front); lines.Scan(); {
			term.lines <- strings.TrimSpace(lines.Text())
		}
	}()
	return term
}

// read returns what follows label in a line on the terminal.
func (term *terminal) read(t *testing.T, label string) string {
	t.Helper()
	for {
		select {
		case line, ok := <-term.lines:
			if text, found := strings.CutPrefix(line, label); found {
				return strings.TrimSpace(text)
			}
			if !ok {
				t.Fatalf("the terminal closed before it showed %q", label)
			}
		case <-t.Context().Done():
			t.Fatal("the test ended")
		}
	}
}
