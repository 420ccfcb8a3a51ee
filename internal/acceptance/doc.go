// Package acceptance holds the running service against what it promises: load,
// faults, and the same for hours. Its tests build the real program, start it as
// a child process with a data folder of its own, and talk to it over loopback.
//
// They are slow and want the machine for themselves, so each group runs only
// when the environment asks for it:
//
//	QINGTING_LOAD=1   make load   speed, memory, streams, too much work
//	QINGTING_CHAOS=1  make chaos  kill -9, SIGTERM, a locked or full disk, bad clients, bad receivers
//	QINGTING_SOAK=1   make soak   mixed work for ten minutes: memory, goroutines, descriptors
//
// QINGTING_SECONDS shortens them: no phase lasts longer, what counts rounds
// makes fewer. QINGTING_BINARY names a program to test instead of building one.
//
// The client shares the processors with the service, and machines are noisy:
// figures of speed are therefore also taken of the least program that could do
// the same (baseline_test.go) by the same client in the same run, and a figure
// passes when it keeps the promise or stays within a multiple of that program's.
package acceptance
