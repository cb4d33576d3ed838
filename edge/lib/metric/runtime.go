package metric

import (
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"
)

// goMetrics are the metrics of the Go runtime, under the names that dashboards for Go
// programs look for. Each is the sum of what runtime/metrics has under from; unlike
// runtime.ReadMemStats, reading them does not stop the world.
var goMetrics = [...]struct {
	name, help string
	kind       kind
	from       []string
}{
	{"go_cpu_classes_gc_total_cpu_seconds_total",
		"CPU time of garbage collection, as the runtime estimates it.", counter,
		[]string{"/cpu/classes/gc/total:cpu-seconds"}},
	{"go_gc_cycles_total", "Garbage collections completed.", counter,
		[]string{"/gc/cycles/total:gc-cycles"}},
	{"go_gc_gogc_percent", "Heap growth that starts a collection, GOGC.", gauge,
		[]string{"/gc/gogc:percent"}},
	{"go_gc_gomemlimit_bytes", "Soft limit of memory, GOMEMLIMIT.", gauge,
		[]string{"/gc/gomemlimit:bytes"}},
	{"go_memstats_alloc_bytes", "Bytes of heap objects, dead ones not yet swept included.", gauge,
		[]string{"/memory/classes/heap/objects:bytes"}},
	{"go_memstats_alloc_bytes_total", "Bytes of heap objects ever allocated.", counter,
		[]string{"/gc/heap/allocs:bytes"}},
	{"go_memstats_frees_total", "Heap objects ever freed.", counter,
		[]string{"/gc/heap/frees:objects", "/gc/heap/tiny/allocs:objects"}},
	{"go_memstats_heap_idle_bytes", "Bytes of heap in unused spans.", gauge,
		[]string{"/memory/classes/heap/free:bytes", "/memory/classes/heap/released:bytes"}},
	{"go_memstats_heap_inuse_bytes", "Bytes of heap in used spans.", gauge,
		[]string{"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes"}},
	{"go_memstats_heap_objects", "Heap objects, dead ones not yet swept included.", gauge,
		[]string{"/gc/heap/objects:objects"}},
	{"go_memstats_heap_released_bytes", "Bytes of heap given back to the system.", gauge,
		[]string{"/memory/classes/heap/released:bytes"}},
	{"go_memstats_mallocs_total", "Heap objects ever allocated.", counter,
		[]string{"/gc/heap/allocs:objects", "/gc/heap/tiny/allocs:objects"}},
	{"go_memstats_next_gc_bytes", "Heap size at which the next collection ends.", gauge,
		[]string{"/gc/heap/goal:bytes"}},
	{"go_memstats_stack_inuse_bytes", "Bytes of goroutine stacks.", gauge,
		[]string{"/memory/classes/heap/stacks:bytes"}},
	{"go_memstats_sys_bytes", "Bytes of memory the runtime has from the system.", gauge,
		[]string{"/memory/classes/total:bytes"}},
	{"go_sched_gomaxprocs_threads", "Threads that run Go code at once, GOMAXPROCS.", gauge,
		[]string{"/sched/gomaxprocs:threads"}},
	{"go_threads", "Threads of the system that the runtime has.", gauge,
		[]string{"/sched/threads/total:threads"}},
}

// WriteProcess writes the metrics of the Go runtime and of the process (CPU, memory,
// open files), in the format and with the error of Registry.Write. What the system
// does not tell is left out. (Those of VictoriaMetrics/metrics are not clean under
// promtool: some seventy of its lines have no HELP, or names such as go_cpu_count.)
func WriteProcess(w io.Writer) error {
	t := text{w: w}
	var samples []metrics.Sample
	for _, m := range goMetrics {
		for _, from := range m.from {
			samples = append(samples, metrics.Sample{Name: from})
		}
	}
	metrics.Read(samples)
	for _, m := range goMetrics {
		sum, known := 0.0, true
		for range m.from {
			switch v := samples[0].Value; v.Kind() {
			case metrics.KindUint64:
				sum += float64(v.Uint64())
			case metrics.KindFloat64:
				sum += v.Float64()
			default:
				known = false
			}
			samples = samples[1:]
		}
		if known {
			t.one(m.name, m.help, m.kind, sum)
		}
	}
	// Those of the runtime itself, which /sched/goroutines has as well, come and go as it likes.
	t.one("go_goroutines", "Goroutines that exist.", gauge, float64(runtime.NumGoroutine()))
	t.goInfo()
	t.process()
	t.flush()
	return t.err
}

// one writes a family of one series without labels.
func (t *text) one(name, help string, k kind, v float64) {
	t.head(name, help, k.String())
	t.name(name, "", "", "")
	t.float(v)
}

func (t *text) goInfo() {
	var gc debug.GCStats
	gc.PauseQuantiles = make([]time.Duration, 5)
	debug.ReadGCStats(&gc)
	const pauses = "go_gc_duration_seconds"
	t.head(pauses, "Pauses of the latest garbage collections.", "summary")
	for i, q := range gc.PauseQuantiles {
		t.name(pauses, "", `quantile="`+strconv.FormatFloat(float64(i)/4, 'g', -1, 64)+`"`, "")
		t.float(q.Seconds())
	}
	t.name(pauses, "_sum", "", "")
	t.float(gc.PauseTotal.Seconds())
	t.name(pauses, "_count", "", "")
	t.float(float64(gc.NumGC))
	t.head("go_info", "Version of Go that the binary was built with.", "gauge")
	t.name("go_info", "", string(appendLabels(nil, []string{"version", runtime.Version()})), "")
	t.float(1)
}
