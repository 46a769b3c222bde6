package live;

import io.micrometer.observation.Observation;
import io.micrometer.observation.ObservationRegistry;
import io.micrometer.tracing.Tracer;
import jakarta.servlet.http.HttpServletResponse;
import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Profile;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClient;

@RestController
@Profile("frontend")
class OrderController {
  private static final ParameterizedTypeReference<Map<String, Object>> JSON_OBJECT =
      new ParameterizedTypeReference<>() {};

  private final RestClient backend;
  private final ObservationRegistry observations;
  private final Tracer tracer;

  /** Boot's builder, not RestClient.create(): only the former is instrumented. */
  OrderController(
      RestClient.Builder builder,
      ObservationRegistry observations,
      Tracer tracer,
      @Value("${shop.backend}") String backendUrl) {
    this.backend = builder.baseUrl(backendUrl).build();
    this.observations = observations;
    this.tracer = tracer;
  }

  @GetMapping("/order/{id}")
  Map<String, Object> order(@PathVariable("id") String id, HttpServletResponse response) {
    // Set before anything can fail: the failing order has to be found as well.
    response.setHeader("x-trace-id", tracer.currentSpan().context().traceId());
    Observation check =
        Observation.createNotStarted("stock.check", observations)
            .lowCardinalityKeyValue("order.kind", "retail")
            .highCardinalityKeyValue("order.note", noteOf(id));
    Map<String, Object> stock = check.observe(() -> stockOf(id, check));
    return Map.of("order", id, "stock", stock, "price", get("/price/{id}", id));
  }

  /**
   * Order 2028 has a line separator next to other text beyond ASCII: with that the reporter's JSON
   * writer leaves two NUL bytes behind the span, in the middle of an otherwise valid list.
   */
  private static String noteOf(String id) {
    return id.equals("2028") ? "größe \"L\"\u2028日本" : "größe \"L\" 日本";
  }

  private Map<String, Object> stockOf(String id, Observation check) {
    check.event(Observation.Event.of("stock.asked", "stock.asked"));
    return get("/stock/{id}", id);
  }

  private Map<String, Object> get(String path, String id) {
    return backend.get().uri(path, id).retrieve().body(JSON_OBJECT);
  }
}
