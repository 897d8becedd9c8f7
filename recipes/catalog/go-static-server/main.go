// Command go-static-server serves the files of a folder over HTTP.
//
// It is what the recipe go-static-server.yaml packs: one static program, which runs as nobody in
// particular, needs no shell beside it, and tests itself (-health) since nothing else is there to
// do so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// version is set by the linker.
var version = "devel"

func main() {
	address := flag.String("listen", ":80", "address to listen on")
	root := flag.String("root", "/srv", "folder to serve")
	parallel := flag.Int64("parallel", 256, "requests that are answered at once")
	health := flag.Bool("health", false, "ask the server at -listen how it is, and exit")
	flag.Parse()
	log.SetFlags(0)
	var err error
	if *health {
		err = ask(*address)
	} else {
		err = serve(*address, *root, *parallel)
	}
	if err != nil {
		log.Fatalf("go-static-server: %v", err)
	}
}

// ask fails unless the server at address says that it is well.
func ask(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get("http://" + net.JoinHostPort(host, port) + "/healthz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}

// serve answers until SIGTERM or SIGINT, and then finishes what it has begun.
func serve(address, root string, parallel int64) error {
	folder, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer folder.Close()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := http.Server{
		Handler:           handler(http.FileServerFS(folder.FS()), parallel),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	group, stop := errgroup.WithContext(stop)
	group.Go(func() error {
		<-stop.Done()
		within, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return server.Shutdown(within)
	})
	group.Go(func() error {
		log.Printf("go-static-server %s listens on %s", version, listener.Addr())
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return group.Wait()
}

// handler answers /healthz itself, refuses what is more than parallel at once, and leaves the rest
// to files.
func handler(files http.Handler, parallel int64) http.Handler {
	slots := semaphore.NewWeighted(parallel)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, "ok")
	})
	mux.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		if !slots.TryAcquire(1) {
			http.Error(answer, "too many requests", http.StatusServiceUnavailable)
			return
		}
		defer slots.Release(1)
		files.ServeHTTP(answer, request)
	})
	return mux
}
