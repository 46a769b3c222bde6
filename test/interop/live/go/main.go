// Two services traced by zipkin-go, the frontend calling the backend over HTTP with B3.
//
// Each serializer and each width of trace id makes one good and one failing request, each a trace
// of its own. For each request one JSON line is printed: what was asked and the trace id.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/openzipkin/zipkin-go"
	zipkinhttp "github.com/openzipkin/zipkin-go/middleware/http"
	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	"github.com/openzipkin/zipkin-go/reporter"
	reporterhttp "github.com/openzipkin/zipkin-go/reporter/http"
)

const (
	// Mixed case on purpose: Zipkin's API answers service names in lower case.
	frontendName = "Go-Frontend"
	backendName  = "Go-Backend"
	brokenItem   = "0"
	timeout      = 10 * time.Second
)

type serializer struct {
	name string
	impl reporter.SpanSerializer
}

type result struct {
	Serializer   string            `json:"serializer"`
	Failing      bool              `json:"failing"`
	Status       int               `json:"status"`
	TraceID      string            `json:"traceId"`
	FrontendPort uint16            `json:"frontendPort"`
	BackendPort  uint16            `json:"backendPort"`
	Propagated   map[string]string `json:"propagated"`
}

// service is one traced HTTP server with its own tracer and reporter, as two processes would have.
type service struct {
	server   *httptest.Server
	tracer   *zipkin.Tracer
	reporter reporter.Reporter
	endpoint *model.Endpoint
}

func newService(name, url string, s serializer, wideIDs bool) (*service, error) {
	made := &service{server: httptest.NewUnstartedServer(nil)}
	endpoint, err := zipkin.NewEndpoint(name, made.server.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	made.endpoint = endpoint
	made.reporter = reporterhttp.NewReporter(url, reporterhttp.Serializer(s.impl))
	made.tracer, err = zipkin.NewTracer(
		made.reporter,
		zipkin.WithLocalEndpoint(endpoint),
		zipkin.WithSharedSpans(true),
		zipkin.WithTraceID128Bit(wideIDs),
	)
	return made, err
}

func (s *service) serve(handler http.HandlerFunc) {
	s.server.Config.Handler = zipkinhttp.NewServerMiddleware(s.tracer)(handler)
	s.server.Start()
}

// close also sends what the reporter still holds.
func (s *service) close() error {
	s.server.Close()
	return s.reporter.Close()
}

// order is the frontend: it calls the backend with the instrumented client.
func order(client *zipkinhttp.Client, backend *service, seen *result) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		span := zipkin.SpanFromContext(r.Context())
		seen.TraceID = span.Context().TraceID.String()
		span.Annotate(time.Now(), "order.received")
		span.Tag("note", "größe \"L\" <日本> & co")
		path := strings.Replace(r.URL.Path, "/order/", "/stock/", 1)
		request, err := http.NewRequestWithContext(
			r.Context(), http.MethodGet, backend.server.URL+path, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		response, err := client.Do(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}
}

// stock is the backend: its server span shares the id of the frontend's client span.
func stock(tracer *zipkin.Tracer, seen *result) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen.Propagated = map[string]string{}
		for name := range r.Header {
			key := strings.ToLower(name)
			if key == "b3" || key == "traceparent" || strings.HasPrefix(key, "x-b3-") {
				seen.Propagated[key] = r.Header.Get(name)
			}
		}
		ledger, _ := tracer.StartSpanFromContext(r.Context(), "ledger.read")
		defer ledger.Finish()
		// A span of less than a microsecond has no duration in either format.
		time.Sleep(time.Millisecond)
		if strings.HasSuffix(r.URL.Path, "/"+brokenItem) {
			problem := "no ledger for item " + brokenItem
			zipkin.TagError.Set(ledger, problem)
			http.Error(w, problem, http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, `{"count":7}`)
	}
}

func runOne(url string, s serializer, wideIDs bool, item string) (seen result, err error) {
	backend, err := newService(backendName, url, s, wideIDs)
	if err != nil {
		return seen, err
	}
	frontend, err := newService(frontendName, url, s, wideIDs)
	if err != nil {
		return seen, err
	}
	client, err := zipkinhttp.NewClient(
		frontend.tracer,
		zipkinhttp.WithClient(&http.Client{Timeout: timeout}),
		zipkinhttp.WithRemoteEndpoint(backend.endpoint),
	)
	if err != nil {
		return seen, err
	}
	seen = result{
		Serializer:   s.name,
		Failing:      item == brokenItem,
		FrontendPort: frontend.endpoint.Port,
		BackendPort:  backend.endpoint.Port,
	}
	backend.serve(stock(backend.tracer, &seen))
	frontend.serve(order(client, backend, &seen))
	plain := &http.Client{Timeout: timeout}
	response, err := plain.Get(frontend.server.URL + "/order/" + item)
	if err != nil {
		return seen, err
	}
	response.Body.Close()
	seen.Status = response.StatusCode
	plain.CloseIdleConnections()
	client.CloseIdleConnections()
	return seen, errors.Join(frontend.close(), backend.close())
}

func main() {
	url := flag.String("url", "", "the collector, as http://host:port")
	flag.Parse()
	serializers := []serializer{
		{"json", reporter.JSONSerializer{}},
		{"proto3", zipkin_proto3.SpanSerializer{}},
	}
	lines := json.NewEncoder(os.Stdout)
	for _, s := range serializers {
		for _, wideIDs := range []bool{false, true} {
			for _, item := range []string{"7", brokenItem} {
				seen, err := runOne(*url+"/api/v2/spans", s, wideIDs, item)
				if err != nil {
					log.Fatal(err)
				}
				if err := lines.Encode(seen); err != nil {
					log.Fatal(err)
				}
			}
		}
	}
}
