// A program that waits for a model, as a plugin in Go would: see reader.py, which is the same in Python. encoding/json
// with typed structs is the strictest of readers: an int64 takes neither 1.0 nor 1e3 nor "1".
//
//	reader SOCKET watch|ask
//	reader - structs    a line of JSON after the other from stdin; prints true where it fits the structs, else false
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
)

// Frame is whatever the admin socket sends. What may be absent or null is a pointer.
type Frame struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Status string `json:"status"`
	Phase  string `json:"phase"`
	Model  string `json:"model"`
	Seq    *int64 `json:"seq"`
	TS     string `json:"ts"`

	Version     string `json:"version"`
	Pid         int64  `json:"pid"`
	Reason      string `json:"reason"`
	Code        string `json:"code"`
	Message     string `json:"message"`
	InferSocket string `json:"infer_socket"`
	LoadMs      int64  `json:"load_ms"`
	WarmUpMs    *int64 `json:"warm_up_ms"`
	RetryInMs   *int64 `json:"retry_in_ms"`
	Missed      int64  `json:"missed"`

	Path            string `json:"path"`
	SourceURL       string `json:"source_url"`
	DownloadedBytes int64  `json:"downloaded_bytes"`
	TotalBytes      *int64 `json:"total_bytes"`
	BytesPerSecond  int64  `json:"bytes_per_second"`
	EtaS            *int64 `json:"eta_s"`
	ResumedBytes    int64  `json:"resumed_bytes"`
	Connections     int64  `json:"connections"`
	VerifiedBytes   int64  `json:"verified_bytes"`
	ResidentBytes   int64  `json:"resident_bytes"`
	Integrity       string `json:"integrity"`
	ExpectedSha256  string `json:"expected_sha256"`
	ActualSha256    string `json:"actual_sha256"`
	QuarantinePath  string `json:"quarantine_path"`
	Bytes           int64  `json:"bytes"`
	AllocatedBytes  int64  `json:"allocated_bytes"`
	KvTypeK         string `json:"kv_type_k"`
	KvTypeV         string `json:"kv_type_v"`
	Attempt         int64  `json:"attempt"`
	LoadedPercent   int64  `json:"loaded_percent"`
	KvBytes         int64  `json:"kv_bytes"`
	RestartsLeft    int64  `json:"restarts_left"`

	Backend        string `json:"backend"`
	WireVersion    int64  `json:"wire_version"`
	V2             bool   `json:"v2"`
	Vision         bool   `json:"vision"`
	Audio          bool   `json:"audio"`
	Tools          bool   `json:"tools"`
	Thinking       bool   `json:"thinking"`
	Embed          bool   `json:"embed"`
	Rerank         bool   `json:"rerank"`
	Generate       bool   `json:"generate"`
	Accelerator    string `json:"accelerator"`
	GpuLayers      int64  `json:"gpu_layers"`
	DeviceName     string `json:"device_name"`
	VramTotalBytes *int64 `json:"vram_total_bytes"`
	NCtx           int64  `json:"n_ctx"`

	Protocol    int64 `json:"protocol"`
	UptimeS     int64 `json:"uptime_s"`
	Subscribers int64 `json:"subscribers"`
}

// Seen is what is printed. Answers stand there as they came.
type Seen struct {
	Seqs    []*int64                   `json:"seqs"`
	Names   []string                   `json:"names"`
	Totals  []*int64                   `json:"totals,omitempty"`
	Answers map[string]json.RawMessage `json:"answers,omitempty"`
}

const requests = `{"id":"s","type":"status"}
{"id":"p","type":"ping"}
{"id":"b","type":"subscribe","since":0}
`

func fail(code int, message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(code)
}

func lines(from io.Reader) *bufio.Scanner {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(make([]byte, 0, 4096), 1<<16+1)
	return scanner
}

func parse(line []byte) Frame {
	var frame Frame
	if err := json.Unmarshal(line, &frame); err != nil {
		fail(2, fmt.Sprintf("%v: %s", err, line))
	}
	if frame.Type == "" {
		fail(2, fmt.Sprintf("type is missing: %s", line))
	}
	return frame
}

func (seen *Seen) note(event Frame) {
	name := event.Phase
	if name == "" {
		name = event.Status
	}
	seen.Seqs = append(seen.Seqs, event.Seq)
	seen.Names = append(seen.Names, name)
}

// Each takes a frame and says whether it was the last that is waited for.
func (seen *Seen) watch(event Frame) bool {
	seen.note(event)
	if event.Phase == "download" {
		seen.Totals = append(seen.Totals, event.TotalBytes)
	}
	return event.Status == "ready"
}

func (seen *Seen) ask(frame Frame, line []byte, last **int64) bool {
	if frame.Type != "status" {
		seen.Answers[frame.ID] = append(json.RawMessage(nil), line...)
		if frame.ID == "b" {
			*last = frame.Seq
		}
	} else if *last != nil {
		seen.note(frame)
	}
	count := len(seen.Seqs)
	return len(seen.Answers) == 3 && count > 0 && seen.Seqs[count-1] != nil && *seen.Seqs[count-1] == **last
}

func printStructs() {
	scanner := lines(os.Stdin)
	for scanner.Scan() {
		var frame Frame
		fmt.Println(json.Unmarshal(scanner.Bytes(), &frame) == nil)
	}
}

func main() {
	path, mode := os.Args[1], os.Args[2]
	if mode == "structs" {
		printStructs()
		return
	}
	connection, err := net.Dial("unix", path)
	if err != nil {
		fail(1, err.Error())
	}
	if mode == "ask" {
		if _, err := connection.Write([]byte(requests)); err != nil {
			fail(1, err.Error())
		}
	}
	seen := Seen{Answers: map[string]json.RawMessage{}}
	var last *int64
	scanner := lines(connection)
	for scanner.Scan() {
		frame := parse(scanner.Bytes())
		isLast := false
		if mode == "ask" {
			isLast = seen.ask(frame, scanner.Bytes(), &last)
		} else {
			isLast = seen.watch(frame)
		}
		if isLast {
			json.NewEncoder(os.Stdout).Encode(seen)
			return
		}
	}
	fail(1, "the connection ended too soon")
}
