package live;

import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.context.WebServerInitializedEvent;
import org.springframework.context.event.EventListener;

/** One jar, two services: the argument `frontend` or `backend` says which. */
@SpringBootApplication
public class ShopApplication {

  public static void main(String[] args) {
    String role = args.length == 1 ? args[0] : "";
    if (!role.equals("frontend") && !role.equals("backend")) {
      throw new IllegalArgumentException("one argument: frontend or backend");
    }
    new SpringApplicationBuilder(ShopApplication.class).profiles(role).run();
  }

  /** The port is a random one, so whoever started this process learns it from this line. */
  @EventListener
  void onListening(WebServerInitializedEvent event) {
    System.out.println("LISTENING " + event.getWebServer().getPort());
  }
}
