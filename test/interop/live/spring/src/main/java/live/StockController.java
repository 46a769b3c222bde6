package live;

import io.micrometer.observation.Observation;
import io.micrometer.observation.ObservationRegistry;
import jakarta.servlet.http.HttpServletRequest;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;
import org.springframework.context.annotation.Profile;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

/** Both paths answer the propagation headers they got, so that the wire itself can be checked. */
@RestController
@Profile("backend")
class StockController {
  private final ObservationRegistry observations;

  StockController(ObservationRegistry observations) {
    this.observations = observations;
  }

  @GetMapping("/stock/{id}")
  Map<String, Object> stock(@PathVariable("id") String id, HttpServletRequest request) {
    // Where Brave's servlet filter looks for the route, for the span's name and http.route.
    request.setAttribute("http.route", "/stock/{id}");
    int count =
        Observation.createNotStarted("ledger.read", observations).observe(() -> countOf(id));
    return Map.of("item", id, "count", count, "propagated", propagated(request));
  }

  @GetMapping("/price/{id}")
  Map<String, Object> price(@PathVariable("id") String id, HttpServletRequest request) {
    if (id.equals("13")) {
      throw new IllegalArgumentException("no price for item " + id);
    }
    return Map.of("item", id, "price", 12.5, "propagated", propagated(request));
  }

  private static int countOf(String id) {
    if (id.equals("0")) {
      throw new IllegalStateException("no ledger for item " + id);
    }
    return 7;
  }

  private static Map<String, String> propagated(HttpServletRequest request) {
    Map<String, String> found = new TreeMap<>();
    for (String name : Collections.list(request.getHeaderNames())) {
      String key = name.toLowerCase();
      if (key.startsWith("x-b3-") || key.equals("b3") || key.equals("traceparent")) {
        found.put(key, request.getHeader(name));
      }
    }
    return found;
  }
}
