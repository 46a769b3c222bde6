package live;

import brave.Tracing;
import brave.http.HttpTracing;
import brave.jakarta.servlet.TracingFilter;
import io.micrometer.observation.Observation;
import io.micrometer.observation.ObservationPredicate;
import jakarta.servlet.Filter;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Profile;
import org.springframework.core.Ordered;
import org.springframework.http.server.observation.ServerRequestObservationContext;

/**
 * Puts /stock under Brave's own servlet filter and leaves the other paths to Boot.
 *
 * <p>Micrometer Tracing starts a child for every extracted context, so a plain Boot 3 server never
 * shares the caller's span id. Brave's filter does, on the Tracing that Boot configured. With both
 * in one service a single trace holds a joined call and a parent-and-child call.
 */
@Configuration
@Profile("backend")
class JoinedServer {
  private static final String JOINED = "/stock/";

  @Bean
  FilterRegistrationBean<Filter> joiningFilter(Tracing tracing) {
    Filter filter = TracingFilter.create(HttpTracing.create(tracing));
    FilterRegistrationBean<Filter> registration = new FilterRegistrationBean<>(filter);
    registration.addUrlPatterns(JOINED + "*");
    registration.setOrder(Ordered.HIGHEST_PRECEDENCE);
    return registration;
  }

  /** One request is one server span: Boot's observation stays off where the filter is on. */
  @Bean
  ObservationPredicate notTwice() {
    return (name, context) -> !isJoinedRequest(context);
  }

  private static boolean isJoinedRequest(Observation.Context context) {
    return context instanceof ServerRequestObservationContext request
        && request.getCarrier().getRequestURI().startsWith(JOINED);
  }
}
